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
	a, err := receive(ctx, s, answers)
	if err != nil {
		return a.value, err
	}
	return a.value, a.err
}

// receive waits for an answer that comes from the loop, until ctx or the loop ends.
func receive[T any](ctx context.Context, s *Supervisor, answers <-chan T) (answer T, err error) {
	select {
	case answer = <-answers:
	case <-s.done:
		err = ErrEnded
	case <-ctx.Done():
		err = ctx.Err()
	}
	return answer, err
}
