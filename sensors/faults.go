package sensors

import "fmt"

// faults are what is wrong with a table, whose other rows are used.
type faults struct {
	first error
	more  int
}

func (f *faults) add(err error) {
	switch {
	case err == nil:
	case f.first == nil:
		f.first = err
	default:
		f.more++
	}
}

// err is the first fault, and how many more there are.
func (f *faults) err() error {
	if f.more > 0 {
		return fmt.Errorf("%w, and %d more", f.first, f.more)
	}
	return f.first
}
