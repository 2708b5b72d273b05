package control

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"brainjar/supervisor"
)

// meant are the experiments that the ids of a query mean, nil for all. An id that is
// not known may come later.
func (s *Server) meant(q *http.Request) (ids []string, err error) {
	for _, id := range q.URL.Query()["id"] {
		r, err := s.Supervisor.Report(q.Context(), id)
		switch {
		case errors.Is(err, supervisor.ErrUnknown):
			ids = append(ids, id)
		case err != nil:
			return nil, err
		}
		for _, e := range r.Experiments {
			ids = append(ids, e.Config.ID)
		}
	}
	return ids, nil
}

func flagOf(q *http.Request, key string) (bool, error) {
	switch f := q.URL.Query().Get(key); f {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, badQuery(key, f, "true or false")
	}
}

func numberOf(q *http.Request, key string) (int, error) {
	text := q.URL.Query().Get(key)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, badQuery(key, text, "a whole number")
	}
	return n, nil
}

func timeOf(q *http.Request, key string) (time.Time, error) {
	text := q.URL.Query().Get(key)
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, badQuery(key, text, "a time as 2026-03-01T12:00:00Z")
	}
	return at, nil
}

func badQuery(key, value, wants string) *Error {
	return &Error{Message: fmt.Sprintf("%s is %q, and must be %s", key, value, wants), Code: CodeBadRequest, Status: http.StatusBadRequest}
}
