package ledger

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// The first bytes of a database, and of its log of changes
// (https://www.sqlite.org/fileformat.html, 1.3 and 4.1).
const (
	fileMagic = "SQLite format 3\x00"
	logMagic  = "\x37\x7f\x06"
)

// intact reports whether the file and its log of changes are still there and begin
// as they should. What is overwritten further inside is found by SQLite when it is
// read, or by the check when brainjar starts.
func (f *file) intact() error {
	opened, err := f.self.Stat()
	if err != nil {
		return err
	}
	info, err := os.Stat(f.path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return errGone
		}
		return err
	}
	head := make([]byte, len(fileMagic))
	if n, _ := f.self.ReadAt(head, 0); !os.SameFile(info, opened) || string(head[:n]) != fileMagic {
		return errGone
	}
	return f.intactLog()
}

// intactLog is intact for the log of changes. SQLite holds no locks on it.
func (f *file) intactLog() error {
	log, err := os.Open(f.path + "-wal")
	switch {
	case errors.Is(err, fs.ErrNotExist) && f.log == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return errLogGone
	case err != nil:
		return err
	}
	defer log.Close()
	info, err := log.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, len(logMagic))
	n, _ := log.ReadAt(head, 0)
	if f.log != nil && !os.SameFile(f.log, info) || n > 0 && string(head[:n]) != logMagic {
		return errLogGone
	}
	f.log = info
	return nil
}

// damaged reports whether an error means that the file is of no more use. The
// statements are fixed: a table that they do not find, or a constraint that they
// break, is not the ledger's.
func damaged(err error) bool {
	if errors.Is(err, errGone) || errors.Is(err, errLogGone) || errors.Is(err, errNotOurs) || errors.Is(err, errDamaged) {
		return true
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() {
	case lib.SQLITE_IOERR_READ, lib.SQLITE_IOERR_SHORT_READ, lib.SQLITE_IOERR_CORRUPTFS, lib.SQLITE_IOERR_DATA:
		return true // so that one bad block does not keep everything from the disk
	}
	switch e.Code() & 0xff {
	case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB, lib.SQLITE_CONSTRAINT:
		return true
	case lib.SQLITE_ERROR:
		return strings.Contains(e.Error(), "no such ") || strings.Contains(e.Error(), "has no column")
	}
	return false
}
