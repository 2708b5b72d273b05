package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// errForeign says that an entry is about no unit of an experiment.
var errForeign = errors.New("no experiment's")

// parse reads an entry as journalctl -o json prints it: an object whose values are
// strings; or arrays of bytes, if they are not UTF-8; or arrays of these, if a
// field comes several times.
func parse(line []byte) (Entry, error) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(line, &values); err != nil {
		return Entry{}, fmt.Errorf("journalctl printed what is no entry: %w", err)
	}
	get := func(field string) string { return value(values[field]) }
	e := Entry{Experiment: experimentOf(get), Message: strings.ToValidUTF8(get("MESSAGE"), "\uFFFD")}
	if e.Experiment == "" {
		return Entry{}, errForeign
	}
	microseconds, err := strconv.ParseInt(get("__REALTIME_TIMESTAMP"), 10, 64)
	if err != nil {
		return Entry{}, fmt.Errorf("journalctl printed an entry without a time: %w", err)
	}
	e.At = time.UnixMicro(microseconds)
	const info = 6
	e.Priority = number(get("PRIORITY"), info)
	e.PID = number(get("_PID"), 0)
	e.Run = number(get("BRAINJAR_RUN"), 0)
	return e, nil
}

// experimentOf is whose unit wrote an entry or, if that was the service manager,
// whose unit it is about.
func experimentOf(get func(string) string) string {
	for _, field := range []string{"_SYSTEMD_USER_UNIT", "_SYSTEMD_UNIT"} {
		if id := experimentIn(get(field)); id != "" {
			return id
		}
	}
	switch { // others may say what they like in these fields
	case get("_PID") == "1":
		return experimentIn(get("UNIT"))
	case get("_SYSTEMD_USER_UNIT") == "init.scope":
		return experimentIn(get("USER_UNIT"))
	}
	return ""
}

// experimentIn is whose unit has that name; "" if it is no experiment's.
func experimentIn(unit string) string {
	if id, ours := strings.CutPrefix(unit, prefix); ours {
		for _, kind := range kinds {
			if id, ours := strings.CutSuffix(id, kind); ours {
				return id
			}
		}
	}
	return ""
}

// number is a number that is not negative, or what to take instead.
func number(text string, otherwise int) int {
	if n, err := strconv.Atoi(text); err == nil && n >= 0 {
		return n
	}
	return otherwise
}

// value is the first value of a field; "" if there is none.
func value(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var b []byte
	if json.Unmarshal(raw, &b) == nil {
		return string(b)
	}
	var several []json.RawMessage
	if json.Unmarshal(raw, &several) == nil && len(several) > 0 {
		return value(several[0])
	}
	return ""
}
