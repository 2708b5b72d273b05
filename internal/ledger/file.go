package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// What may be wrong with a file.
var (
	errNewer   = errors.New("it was written by a later brainjar")
	errNotOurs = errors.New("it is no ledger of brainjar")
	errGone    = errors.New("the file was deleted, replaced or overwritten")
	errLogGone = errors.New("its log of changes (-wal) was deleted, replaced or overwritten")
)

// file is an open ledger file.
type file struct {
	path string
	db   *sql.DB
	// self is the file, whatever its name points to later. It is closed after the
	// database and not before: with the first descriptor of a file that a process
	// closes, the kernel takes all its locks on it, also those of SQLite, and then
	// another program believes to be the last that uses the database and deletes
	// its log of changes (https://www.sqlite.org/howtocorrupt.html, 2.2).
	self *os.File
	log  fs.FileInfo // of the log of changes, once there is one
}

// close closes the database, which moves the log of changes into it.
func (f *file) close() {
	if f.db != nil {
		_ = f.db.Close()
	}
	_ = f.self.Close()
}

// checkLimit bounds the check of a file that is opened: a big one on a slow disk
// is believed rather than waited for.
const checkLimit = 3 * time.Second

// openFile opens, checks and migrates a ledger file, and makes it if missing.
func openFile(ctx context.Context, path string) (*file, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	self, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640) //nolint:gosec // its group may read the history
	if err != nil {
		return nil, err
	}
	f := &file{path: path, self: self}
	f.db, err = sql.Open("sqlite", address(path, "journal_mode(WAL)", "synchronous(FULL)", "journal_size_limit(1048576)", "wal_autocheckpoint(256)"))
	if err == nil {
		f.db.SetMaxOpenConns(1)
		err = check(ctx, f.db)
	}
	if err == nil {
		err = migrate(ctx, f.db)
	}
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// address is the data source name of a file, with pragmas. The page cache is
// small: memory is for experiments.
func address(path string, pragmas ...string) string {
	return dataSource(path, append(pragmas, "busy_timeout(5000)", "cache_size(-256)", "temp_store(MEMORY)")...)
}

// dataSource is address with these pragmas only. The driver sets them in the order
// of the alphabet.
func dataSource(path string, pragmas ...string) string {
	return (&url.URL{Scheme: "file", Path: path, RawQuery: url.Values{"_pragma": pragmas}.Encode()}).String()
}

// check looks for damage.
func check(ctx context.Context, db *sql.DB) error {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	var words string
	err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&words)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return err
	case words != "ok":
		return fmt.Errorf("%w: %s", errDamaged, words)
	}
	return nil
}

var errDamaged = errors.New("it is damaged")

// waits reports whether an error goes away by itself, with the file as it is.
func waits(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	code := e.Code() & 0xff
	return code == lib.SQLITE_FULL || code == lib.SQLITE_BUSY
}

// keepDamaged is how many damaged files are kept, for whoever wants to save
// something from them.
const keepDamaged = 3

// setAside renames a damaged file and what belongs to it, and returns its new
// name.
func setAside(path string, now time.Time) (string, error) {
	name := path + ".damaged-" + now.UTC().Format("20060102-150405")
	for n := 2; ; n++ {
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			break
		}
		name = fmt.Sprintf("%s.damaged-%s-%d", path, now.UTC().Format("20060102-150405"), n)
	}
	var failed error
	for _, suffix := range []string{"", "-wal", "-shm"} {
		err := os.Rename(path+suffix, name+suffix)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
	}
	old, err := filepath.Glob(path + ".damaged-*")
	if err != nil {
		return name, failed
	}
	old = slices.DeleteFunc(old, func(p string) bool { // not this one, even if the clock went back
		return p == name || strings.HasSuffix(p, "-wal") || strings.HasSuffix(p, "-shm")
	})
	slices.Sort(old)
	for _, p := range old[:max(0, len(old)-keepDamaged+1)] {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			_ = os.Remove(p + suffix)
		}
	}
	return name, failed
}
