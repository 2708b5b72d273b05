package cli

import (
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"
)

// Version is set when the program is built (-ldflags -X).
var Version = "devel"

func newVersion(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of brainjar",
		Long:  "Print the version of brainjar, what it was built for (linux/arm64), and the Go that built it.",
		Args:  wants(),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(stdout, versionLine())
			return err
		},
	}
}

// versionLine is what `brainjar version` prints.
func versionLine() string {
	return fmt.Sprintf("brainjar %s %s/%s %s\n", Version, runtime.GOOS, runtime.GOARCH, runtime.Version())
}
