package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// What brainjar did to the machine is written down before it is done, in small files of
// JSON, so that the next brainjar can undo it.

// readJSON reads a file that writeJSON wrote; none leaves the value as it is.
func readJSON(path string, value any) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(text, value)
	}
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", path, err)
	}
	return nil
}

// discard removes a file that readJSON could make no sense of, for it will not make any
// later; one that just could not be read stays. It returns readJSON's error.
func discard(path string, err error) error {
	if _, unread := errors.AsType[*fs.PathError](err); unread {
		return err
	}
	return errors.Join(err, os.Remove(path))
}

// writeSynced writes a file that is on disk when it returns.
func writeSynced(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// writeJSON puts a value into a file of the runtime or state directory, where it is on
// disk when this returns: all of it, or what was there stays.
func writeJSON(path string, value any) error {
	text, err := json.Marshal(value)
	if err == nil {
		err = writeSynced(path+".new", text)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path)) // else a power cut could undo the renaming
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

// syncDir takes to disk which files a directory has.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
