package sensors

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// attributes are the files of one directory of sysfs, one value each.
type attributes struct {
	read   reader
	dir    string
	asleep []error // what else than nothings says that there is nothing to read now
	err    error   // the first that went wrong
}

// nothings are the errors of a read that mean that there is nothing to read: no
// such file, a part without power, a channel that is switched off, a kernel
// booted without.
var nothings = []error{unix.ENOENT, unix.EAGAIN, unix.ENODATA, unix.EOPNOTSUPP}

// nothing says whether an error is one of nothings or of others.
func nothing(err error, others ...error) bool {
	is := func(target error) bool { return errors.Is(err, target) }
	return slices.ContainsFunc(nothings, is) || slices.ContainsFunc(others, is)
}

// state notes an error and says what it makes of a value.
func (a *attributes) state(err error) State {
	switch {
	case err == nil:
		return OK
	case nothing(err, a.asleep...):
		return Absent
	}
	if a.err == nil {
		a.err = err
	}
	return Failed
}

// text reads a file of one line.
func (a *attributes) text(name string) Value[string] {
	content, err := a.read(filepath.Join(a.dir, name))
	if state := a.state(err); state != OK {
		return Value[string]{State: state}
	}
	return known(trim(content))
}

// number reads a file of one decimal number.
func (a *attributes) number(name string) Value[int64] {
	content, err := a.read(filepath.Join(a.dir, name))
	if err == nil {
		var number int64
		if number, err = parseNumber(content); err == nil {
			return known(number)
		}
		err = fmt.Errorf("cannot read %s: %w", filepath.Join(a.dir, name), err)
	}
	return Value[int64]{State: a.state(err)}
}

// within makes a Failed value of a number that is out of range.
func (a *attributes) within(name string, v Value[int64], least, most int64) Value[int64] {
	if v.State == OK && (v.V < least || v.V > most) {
		return Value[int64]{State: a.state(fmt.Errorf("cannot read %s: %d is not between %d and %d", filepath.Join(a.dir, name), v.V, least, most))}
	}
	return v
}

// trim takes off a line end, and the NUL that ends texts of a device tree.
func trim(content []byte) string { return strings.Trim(string(content), " \t\r\n\x00") }

// parseNumber reads a decimal number of an attribute.
func parseNumber(content []byte) (int64, error) {
	text := trim(content)
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no number", text)
	}
	return number, nil
}
