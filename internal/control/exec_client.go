package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Execution is an experiment in the foreground of this process.
type Execution struct {
	conn  *net.UnixConn
	lines *bufio.Reader
	write sync.Mutex
}

// Exec runs an experiment in the foreground, with these files as its standard input,
// output and error. It returns when brainjar has them.
func (c *Client) Exec(ctx context.Context, id string, r ExecRequest, streams [3]*os.File) (*Execution, error) {
	d := net.Dialer{Timeout: dialLimit}
	dialled, err := d.DialContext(ctx, "unix", c.socket)
	if err != nil {
		return nil, c.unreachable(err)
	}
	conn, ok := dialled.(*net.UnixConn)
	if !ok {
		_ = dialled.Close()
		return nil, fmt.Errorf("%w on %s: no Unix socket", ErrUnreachable, c.socket)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(c.AnswerLimit))
	x := &Execution{conn: conn, lines: bufio.NewReader(conn)}
	if err := x.begin(id, r, streams); err != nil {
		_ = conn.Close()
		return nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	return x, nil
}

func (x *Execution) begin(id string, r ExecRequest, streams [3]*os.File) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("cannot write the request: %w", err)
	}
	q, err := http.NewRequest(http.MethodPost, "http://brainjar/"+Version+experimentPath(id, "exec"), bytes.NewReader(b)) //nolint:noctx // the connection has the limit
	if err != nil {
		return fmt.Errorf("cannot make the request: %w", err)
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Connection", "Upgrade")
	q.Header.Set("Upgrade", execProtocol)
	if err := q.Write(x.conn); err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	resp, err := http.ReadResponse(x.lines, q)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		defer resp.Body.Close()
		return refusalOf(resp)
	}
	fds := make([]int, len(streams))
	for i, f := range streams {
		raw, err := f.SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) { fds[i] = int(fd) })
		}
		if err != nil {
			return fmt.Errorf("cannot hand over %s: %w", f.Name(), err)
		}
	}
	if _, _, err := x.conn.WriteMsgUnix([]byte{0}, unix.UnixRights(fds...), nil); err != nil {
		return fmt.Errorf("cannot hand over the standard streams: %w", err)
	}
	return nil
}

// Next returns what brainjar tells next. io.EOF: it has gone, without saying that the
// experiment has ended.
func (x *Execution) Next() (t ExecTold, err error) {
	line, err := x.lines.ReadBytes('\n')
	if err != nil {
		if errors.Is(err, unix.ECONNRESET) {
			err = io.EOF
		}
		return t, err
	}
	if err := json.Unmarshal(line, &t); err != nil {
		return t, fmt.Errorf("cannot read what brainjar sent: %w", err)
	}
	return t, nil
}

// Order tells brainjar what to do with the experiment.
func (x *Execution) Order(o ExecOrder) error {
	b, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("cannot write an order: %w", err)
	}
	x.write.Lock()
	defer x.write.Unlock()
	_ = x.conn.SetWriteDeadline(time.Now().Add(writeLimit))
	_, err = x.conn.Write(append(b, '\n'))
	return err
}

// Close leaves the experiment, which then goes too.
func (x *Execution) Close() { _ = x.conn.Close() }
