package control

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// ErrUnreachable says that no brainjar listens on the socket.
var ErrUnreachable = errors.New("brainjar does not answer")

// dialLimit is how long a connection to the socket may take; answerLimit how long
// an answer may take, or the beginning of a stream.
const (
	dialLimit   = 5 * time.Second
	answerLimit = 60 * time.Second
)

// silenceLimit is how long a stream may be silent: brainjar writes a comment on
// each more often than that.
const silenceLimit = 45 * time.Second

// maxLine is the length in bytes of the longest event of a stream.
const maxLine = 4 << 20

// Client asks a brainjar. It is safe for use by several goroutines.
type Client struct {
	AnswerLimit time.Duration // how long an answer may take, or the beginning of a stream

	socket string
	http   *http.Client
}

// NewClient returns a client of the brainjar that listens on a Unix socket.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		d := net.Dialer{Timeout: dialLimit}
		return d.DialContext(ctx, "unix", socket)
	}
	return &Client{answerLimit, socket, &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConns: 2}}}
}

// Close closes connections that are not used at the moment.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status returns how brainjar and its experiments stand: all, or those of the ids.
func (c *Client) Status(ctx context.Context, ids ...string) (s Status, err error) {
	return s, c.call(ctx, http.MethodGet, "/status", query("id", ids...), nil, &s)
}

// Experiment returns how one experiment stands.
func (c *Client) Experiment(ctx context.Context, id string) (e Experiment, err error) {
	return e, c.call(ctx, http.MethodGet, experimentPath(id, ""), nil, nil, &e)
}

// Why explains why an experiment stands where it does.
func (c *Client) Why(ctx context.Context, id string) (w Why, err error) {
	return w, c.call(ctx, http.MethodGet, experimentPath(id, "why"), nil, nil, &w)
}

// Start wants an experiment. It returns once that is on disk, with how the
// experiment stands then.
func (c *Client) Start(ctx context.Context, id string, r StartRequest) (Experiment, error) {
	return c.order(ctx, id, "start", r)
}

// Order gives an order that needs no more words: stop, restart, release, freeze,
// thaw, enable, disable, auto (which takes enable and disable back), forget (a
// submitted experiment that has ended).
func (c *Client) Order(ctx context.Context, id, order string) (Experiment, error) {
	return c.order(ctx, id, order, nil)
}

// Hold keeps an experiment from being started.
func (c *Client) Hold(ctx context.Context, id string, r HoldRequest) (Experiment, error) {
	return c.order(ctx, id, "hold", r)
}

// Kill sends a signal to processes of an experiment.
func (c *Client) Kill(ctx context.Context, id string, r KillRequest) (Experiment, error) {
	return c.order(ctx, id, "kill", r)
}

// Adopt makes a scope around a process that runs.
func (c *Client) Adopt(ctx context.Context, id string, r AdoptRequest) (Experiment, error) {
	return c.order(ctx, id, "adopt", r)
}

// Submit adds an experiment that no file names, and starts it.
func (c *Client) Submit(ctx context.Context, id string, r SubmitRequest) (e Experiment, err error) {
	return e, c.call(ctx, http.MethodPut, experimentPath(id, ""), nil, r, &e)
}

// Set changes limits of an experiment.
func (c *Client) Set(ctx context.Context, id string, r SetRequest) (e Experiment, err error) {
	return e, c.call(ctx, http.MethodPatch, experimentPath(id, ""), nil, r, &e)
}

// ReleaseAll releases all that is held, and resets the circuit breaker.
func (c *Client) ReleaseAll(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/release", nil, nil, nil)
}

// Plan returns what a reload would do.
func (c *Client) Plan(ctx context.Context) (p Plan, err error) {
	return p, c.call(ctx, http.MethodGet, "/plan", nil, nil, &p)
}

// Reload reads the configuration again and returns what was done.
func (c *Client) Reload(ctx context.Context, r ReloadRequest) (p Plan, err error) {
	return p, c.call(ctx, http.MethodPost, "/reload", nil, r, &p)
}

// EventQuery says which events are asked for. Zero fields do not matter.
type EventQuery struct {
	Experiments []string // none: all events
	After       int64    // only events with a greater id
	Lines       int      // so many of those that are past, the newest; 0: none, unless After is set
	Follow      bool     // also those that are to come, for as long as brainjar runs

	// Opened is called when the past is told, and now and then after that, with the id
	// of the newest event: of those that come after it none is missed.
	Opened func(last int64)
}

// Events goes through what has happened, oldest first, and, if that is asked for,
// through what happens from now on: until ctx ends, or brainjar does, which is an error
// (ErrUnreachable).
func (c *Client) Events(ctx context.Context, q EventQuery) iter.Seq2[Event, error] {
	v := query("id", q.Experiments...)
	if q.After > 0 {
		v.Set("after", strconv.FormatInt(q.After, 10))
	}
	if q.Lines > 0 {
		v.Set("lines", strconv.Itoa(q.Lines))
	}
	if q.Follow {
		v.Set("follow", "true")
	}
	return follow[Event](ctx, c, "/events", v, q.Opened)
}

// LogQuery says which lines of output are asked for. Zero fields do not matter.
type LogQuery struct {
	Experiments []string // none: all
	Run         int
	Since       time.Time
	Lines       int // the newest
	Follow      bool
}

// Logs goes through output of experiments. It ends as Events does.
func (c *Client) Logs(ctx context.Context, q LogQuery) iter.Seq2[Line, error] {
	v := query("id", q.Experiments...)
	if q.Run > 0 {
		v.Set("run", strconv.Itoa(q.Run))
	}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.Format(time.RFC3339Nano))
	}
	if q.Lines > 0 {
		v.Set("lines", strconv.Itoa(q.Lines))
	}
	if q.Follow {
		v.Set("follow", "true")
	}
	return follow[Line](ctx, c, "/logs", v, nil)
}

func (c *Client) order(ctx context.Context, id, order string, body any) (e Experiment, err error) {
	return e, c.call(ctx, http.MethodPost, experimentPath(id, order), nil, body, &e)
}

func experimentPath(id, order string) string {
	p := "/experiments/" + url.PathEscape(id)
	if order != "" {
		p += "/" + order
	}
	return p
}

func query(key string, values ...string) url.Values {
	q := url.Values{}
	for _, v := range values {
		q.Add(key, v)
	}
	return q
}

// call makes a request and reads its answer into answer, if that is not nil.
func (c *Client) call(ctx context.Context, method, path string, q url.Values, body, answer any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.AnswerLimit, errSilent)
	defer cancel()
	resp, err := c.send(ctx, method, path, q, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if answer == nil {
		_, err = io.Copy(io.Discard, resp.Body)
	} else {
		err = json.NewDecoder(resp.Body).Decode(answer)
	}
	if err != nil {
		return fmt.Errorf("cannot read the answer of brainjar: %w", err)
	}
	return nil
}

// send makes a request. An answer that is no success becomes an *Error.
func (c *Client) send(ctx context.Context, method, path string, q url.Values, body any) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("cannot write the request: %w", err)
		}
		content = bytes.NewReader(b)
	}
	address := "http://brainjar/" + Version + path
	if len(q) > 0 {
		address += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		return nil, fmt.Errorf("cannot make the request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var of *url.Error // which repeats the address, that says nothing
		if errors.As(err, &of) {
			err = of.Err
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, c.unreachable(err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, refusalOf(resp)
}

// unreachable is ErrUnreachable with the socket and the cause.
func (c *Client) unreachable(err error) error {
	var dial *net.OpError // which repeats the socket
	if errors.As(err, &dial) {
		err = dial.Err
	}
	var call *os.SyscallError // which names the system call
	if errors.As(err, &call) {
		err = call.Err
	}
	return fmt.Errorf("%w on %s: %w", ErrUnreachable, c.socket, err)
}

// refusalOf is what an answer says that is no success.
func refusalOf(resp *http.Response) *Error {
	refusal := &Error{Status: resp.StatusCode}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxLine))
	if err != nil || json.Unmarshal(b, refusal) != nil || refusal.Message == "" {
		refusal.Message = "brainjar answered " + resp.Status
		refusal.Code = CodeInternal
	}
	return refusal
}

// errSilent is why a brainjar that says nothing is given up.
var errSilent = errors.New("it has not answered in time")

// follow goes through server-sent events, each with a T as its data. opened may be
// nil; it gets each id that comes without data.
func follow[T any](ctx context.Context, c *Client, path string, q url.Values, opened func(id int64)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		patience := time.AfterFunc(c.AnswerLimit, func() { cancel(errSilent) })
		defer patience.Stop()
		resp, err := c.send(ctx, http.MethodGet, path, q, nil)
		if err != nil {
			yield(zero, err)
			return
		}
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(make([]byte, 0, 4096), maxLine)
		event, id := "", ""
		for patience.Reset(silenceLimit); lines.Scan(); patience.Reset(silenceLimit) {
			field, value, _ := strings.Cut(lines.Text(), ": ")
			switch {
			case field == "event":
				event = value
			case field == "id":
				id = value
			case field == "data" && event == "end":
				return
			case field == "data":
				v, err := decode[T](event, value)
				patience.Stop() // whoever reads may take as long as they like
				if !yield(v, err) || err != nil {
					return
				}
				id = ""
			case lines.Text() == "":
				if last, err := strconv.ParseInt(id, 10, 64); err == nil && opened != nil {
					opened(last)
				}
				event, id = "", ""
			}
		}
		switch {
		case errors.Is(context.Cause(ctx), errSilent):
			err = errSilent
		case ctx.Err() != nil:
			return
		default:
			err = cmp.Or(lines.Err(), io.ErrUnexpectedEOF)
		}
		yield(zero, fmt.Errorf("%w any more on %s: %w", ErrUnreachable, c.socket, err))
	}
}

// decode reads the data of an event; those named error are how a stream says why
// it ends.
func decode[T any](event, data string) (v T, err error) {
	if event == "error" {
		refusal := &Error{}
		if json.Unmarshal([]byte(data), refusal) != nil || refusal.Message == "" {
			refusal.Message, refusal.Code = "brainjar ended the stream", CodeInternal
		}
		return v, refusal
	}
	if err := json.Unmarshal([]byte(data), &v); err != nil {
		return v, fmt.Errorf("cannot read what brainjar sent: %w", err)
	}
	return v, nil
}
