package control

import "time"

// SetPatience says how long a reader may leave a write standing.
func (s *Server) SetPatience(d time.Duration) { s.patience = d }

// Limits that tests go beyond.
const (
	Kept          = kept
	MaxBody       = maxBody
	MaxConns      = maxConns
	MaxConnsOfOne = maxConnsOfOne
	CloseLimit    = closeLimit
)
