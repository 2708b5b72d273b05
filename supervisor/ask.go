package supervisor

import "context"

// ask runs a function in the loop and returns what it returns. It waits for the
// loop until ctx ends; the function runs all the same.
func ask[T any](ctx context.Context, s *Supervisor, f func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	s.order(func() {
		value, err := f()
		answers <- answer{value, err}
	})
	var none T
	select {
	case a := <-answers:
		return a.value, a.err
	case <-s.done:
		return none, ErrEnded
	case <-ctx.Done():
		return none, ctx.Err()
	}
}
