package sensors

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// State says whether there is a value to use. Its zero value is Absent, so
// that what was never read cannot pass for a value.
type State int

// The states of a value.
const (
	Absent State = iota // nothing to read now, and nothing wrong: a rail that is powered off
	OK                  // read
	Failed              // could not be read, or made no sense, or did not answer in time
)

// String returns the state as shown to people.
func (s State) String() string {
	switch s {
	case OK:
		return "ok"
	case Failed:
		return "failed"
	default:
		return "absent"
	}
}

// MarshalText writes the state as String does.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote. Its error is a word that is no state.
func (s *State) UnmarshalText(text []byte) error {
	for _, state := range []State{Absent, OK, Failed} {
		if string(text) == state.String() {
			*s = state
			return nil
		}
	}
	return fmt.Errorf("%q is not a state: absent, ok or failed", text)
}

// Value is a value that may not be there, where what a thing tells can be absent
// or fail one by one. In JSON it is the value itself, or null unless it is OK:
// what failed is among the problems of the Reading.
type Value[T any] struct {
	State State
	V     T // the zero value unless State is OK
}

// known returns a value that was read.
func known[T any](v T) Value[T] { return Value[T]{OK, v} }

// Get returns the value, and false if there is none.
func (v Value[T]) Get() (T, bool) { return v.V, v.State == OK }

// MarshalJSON writes the value, or null.
func (v Value[T]) MarshalJSON() ([]byte, error) {
	if v.State != OK {
		return []byte("null"), nil
	}
	return json.Marshal(v.V)
}

// UnmarshalJSON reads what MarshalJSON wrote; null is Absent.
func (v *Value[T]) UnmarshalJSON(text []byte) error {
	*v = Value[T]{}
	if bytes.Equal(text, []byte("null")) {
		return nil
	}
	if err := json.Unmarshal(text, &v.V); err != nil {
		return err
	}
	v.State = OK
	return nil
}

// as makes a value of another, if there is one.
func as[T, U any](v Value[U], convert func(U) T) Value[T] {
	if v.State != OK {
		return Value[T]{State: v.State}
	}
	return known(convert(v.V))
}

// lost is a value that was read once and cannot be now: Failed, if there was
// anything to read.
func lost[T any](v Value[T]) Value[T] {
	if v.State == Absent {
		return v
	}
	return Value[T]{State: Failed}
}
