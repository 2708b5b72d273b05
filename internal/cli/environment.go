package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"brainjar/internal/envfile"
)

// readVariables adds the variables of an environment file, as systemd.exec(5) has
// them under EnvironmentFile=. A "-" before the path allows it to be absent.
func readVariables(path string, into map[string]any) error {
	path, optional := strings.CutPrefix(path, "-")
	content, err := os.ReadFile(path)
	switch {
	case optional && errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cannot read the environment file: %w", err)
	}
	variables, problems := envfile.Parse(string(content))
	if len(problems) > 0 {
		return fmt.Errorf("cannot read the environment file %s: %w", path, problems[0])
	}
	for _, v := range variables {
		into[v.Name] = v.Value
	}
	return nil
}
