package journal

import (
	"fmt"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
)

// Message is one that brainjar writes to the journal.
type Message struct {
	Text     string
	Priority int               // as in syslog(3)
	Facts    map[string]string // "to": "running" becomes the field BRAINJAR_TO=running
}

// Send writes a message. It may block while journald does not read, and works again
// when journald was started anew.
func (m Message) Send() error {
	fields := make(map[string]string, len(m.Facts)+1)
	for name, value := range m.Facts {
		fields[field(name)] = value
	}
	fields["SYSLOG_IDENTIFIER"] = "brainjar"
	if err := journal.Send(m.Text, journal.Priority(m.Priority), fields); err != nil {
		return fmt.Errorf("cannot write to the journal: %w", err)
	}
	return nil
}

// field is the field of a fact: journald takes capital letters, digits and _, and
// at most 64 of them.
func field(name string) string {
	name = "BRAINJAR_" + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, name)
	return name[:min(len(name), 64)]
}
