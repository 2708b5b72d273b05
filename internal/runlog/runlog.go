// Package runlog keeps the output of experiments in files, one for each run:
// DIR/EXPERIMENT/RUN.log. The programs append to them by themselves, whether
// brainjar lives or not; this package names and makes the files, keeps them from
// growing beyond what was allowed, and reads them.
//
// The package must not know what an experiment is: who wants its output in a file,
// and which run is under way, comes from outside. It imports nothing of brainjar
// but internal/quantity.
package runlog

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"brainjar/internal/quantity"
)

// Logs is a directory of the files of runs. All its methods may be called from
// several goroutines.
type Logs struct {
	dir       string
	log       *slog.Logger
	fallocate func(fd int, mode uint32, offset, length int64) error

	// mu keeps reading apart from cutting, and making files from removing
	// directories. removed is how much was cut off the beginning of a file since
	// this process began, in bytes: readers count from the first byte ever. growing are
	// the outputs that may have grown since they were bounded last.
	mu      sync.RWMutex
	removed map[string]int64
	growing map[output]bool
}

// output is that of one run.
type output struct {
	experiment string
	run        int
}

// New returns the logs in a directory, which is made with the first file.
func New(dir string, log *slog.Logger) *Logs {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Logs{dir: dir, log: log, fallocate: unix.Fallocate, removed: make(map[string]int64), growing: make(map[output]bool)}
}

// suffix ends the name of a file, after the number of its run.
const suffix = ".log"

func (l *Logs) path(experiment string, run int) string {
	return filepath.Join(l.dir, experiment, strconv.Itoa(run)+suffix)
}

// Create makes the file of a run and returns its path. Nobody but the process's
// own user may write in its directory, so it is no link to somewhere else; a group
// may read.
func (l *Logs) Create(experiment string, run int) (path string, err error) {
	if !filepath.IsLocal(experiment) || strings.ContainsRune(experiment, filepath.Separator) || run < 1 {
		return "", fmt.Errorf("cannot keep the output of run %d of %q: that is no name of an experiment", run, experiment)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	path = l.path(experiment, run)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return "", fmt.Errorf("cannot keep the output in a file: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|syscall.O_NOFOLLOW, 0o640) //nolint:gosec // see above
	if err != nil {
		return "", fmt.Errorf("cannot keep the output in a file: %w", err)
	}
	l.growing[output{experiment, run}] = true
	return path, f.Close()
}

// File is the output of one run.
type File struct {
	Experiment string
	Run        int
	Path       string
	Size       quantity.Bytes // what is left of the output; on disk it may be less
	Modified   time.Time      // when the run wrote last
}

// Files returns the files of an experiment, by ascending run. There may be none.
func (l *Logs) Files(experiment string) ([]File, error) {
	entries, err := os.ReadDir(filepath.Join(l.dir, experiment))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot list the output of %s: %w", experiment, err)
	}
	files := make([]File, 0, len(entries))
	for _, entry := range entries {
		number, ok := strings.CutSuffix(entry.Name(), suffix)
		run, err := strconv.Atoi(number)
		if !ok || err != nil || !entry.Type().IsRegular() {
			continue // not one of ours
		}
		info, err := entry.Info()
		if err != nil {
			continue // gone meanwhile
		}
		files = append(files, File{
			experiment, run, filepath.Join(l.dir, experiment, entry.Name()),
			quantity.Bytes(size(info)), info.ModTime(),
		})
	}
	slices.SortFunc(files, func(a, b File) int { return a.Run - b.Run })
	return files, nil
}

// Experiments returns the ids of all that have files.
func (l *Logs) Experiments() ([]string, error) {
	entries, err := os.ReadDir(l.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot list the output of experiments: %w", err)
	}
	ids := make([]string, 0, len(entries))
	for _, entry := range entries {
		ids = append(ids, entry.Name())
	}
	return ids, nil
}

// size is how much a file holds, in bytes: where its beginning was cut out as a
// hole, its length says more.
func size(info fs.FileInfo) int64 {
	const unitOfBlocks = 512 // stat(2)
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return min(info.Size(), st.Blocks*unitOfBlocks)
	}
	return info.Size()
}
