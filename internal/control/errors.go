package control

import (
	"context"
	"errors"
	"net/http"

	"brainjar/internal/config"
	"brainjar/supervisor"
	"brainjar/transient"
)

// answers are the errors of the supervisor as they travel. The first that fits counts.
var answers = []struct {
	err    error
	status int
	code   string
	hint   string
}{
	{supervisor.ErrUnknown, http.StatusNotFound, CodeUnknown, "`brainjar status` shows all"},
	{config.ErrUnreadable, http.StatusUnprocessableEntity, CodeConfig, ""},
	{supervisor.ErrNeverFits, http.StatusUnprocessableEntity, CodeNotAdmitted, ""},
	{supervisor.ErrRefused, http.StatusUnprocessableEntity, CodeNotAdmitted, "`brainjar check CONFIG` shows what this machine can enforce"},
	{supervisor.ErrNotYours, http.StatusForbidden, CodeForbidden, ""},
	{supervisor.ErrAbove, http.StatusForbidden, CodeForbidden, "only root may raise it"},
	{supervisor.ErrExists, http.StatusConflict, CodeConflict, "choose another name, or stop that one first"},
	{supervisor.ErrRunning, http.StatusConflict, CodeConflict, ""},
	{supervisor.ErrNotRunning, http.StatusConflict, CodeConflict, ""},
	{supervisor.ErrNotFrozen, http.StatusConflict, CodeConflict, ""},
	{supervisor.ErrConfigured, http.StatusConflict, CodeConflict, "remove it from the file, then `brainjar reload`"},
	{transient.ErrNoProcess, http.StatusConflict, CodeConflict, ""},
	{transient.ErrNoUnit, http.StatusConflict, CodeConflict, ""},
	{supervisor.ErrNotWritten, http.StatusInsufficientStorage, CodeNotWritten, "it is done, but would not survive a restart of brainjar: look at the disk"},
	{supervisor.ErrNotReady, http.StatusServiceUnavailable, CodeNotReady, "try again in a moment"},
	{supervisor.ErrLeaving, http.StatusServiceUnavailable, CodeNotReady, "try again when it has started again"},
	{supervisor.ErrEnded, http.StatusServiceUnavailable, CodeNotReady, "try again when it has started again"},
	{transient.ErrDisconnected, http.StatusServiceUnavailable, CodeNotReady, "systemd is out of reach"},
	{transient.ErrUncertain, http.StatusGatewayTimeout, CodeTimeout, "it may still be done: look at `brainjar status`"},
	{context.DeadlineExceeded, http.StatusGatewayTimeout, CodeTimeout, "it may still be done: look at `brainjar status`"},
	{context.Canceled, http.StatusServiceUnavailable, CodeNotReady, ""},
}

// errorOf is an error as it travels.
func errorOf(err error) *Error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	e := &Error{Message: err.Error(), Code: CodeInternal, Status: http.StatusInternalServerError}
	var problems config.Errors
	if errors.As(err, &problems) {
		for _, p := range problems {
			e.Details = append(e.Details, p.String())
		}
		e.Code, e.Status = CodeConfig, http.StatusUnprocessableEntity
	}
	for _, a := range answers {
		if errors.Is(err, a.err) {
			e.Status, e.Code, e.Hint = a.status, a.code, a.hint
			break
		}
	}
	return e
}
