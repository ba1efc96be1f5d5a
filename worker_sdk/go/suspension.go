package stageline

import (
	"encoding/json"
	"time"
)

// Suspension is how a stage's work goes on elsewhere, and when to look after it.
type Suspension struct {
	// State is handed to each check, as JSON. Never put secrets into it.
	State any
	// PollInterval is the wait before each check. Zero means 30 s; at least 1 s.
	PollInterval time.Duration
	// MaxWait is when the stage fails if it still waits, counted from the suspension. Zero means a day.
	MaxWait time.Duration
	// FirstCheck is the wait before the first check. Zero means PollInterval.
	FirstCheck time.Duration
	// NeverPoll means that only a token of [Context.ResumeToken], or MaxWait, ends the wait.
	NeverPoll bool
}

// Suspend is what an async stage returns as its error to give its worker back until the work elsewhere is done.
func Suspend(how Suspension) error { return &suspended{how} }

type suspended struct{ Suspension }

func (*suspended) Error() string { return "the stage is suspended" }

// StillWaiting is what a check returns as its error while there is nothing yet. A next check of zero leaves the interval
// as it is; a state of nil leaves the state as it is.
func StillWaiting(nextCheck time.Duration, state any) error { return &stillWaiting{nextCheck, state} }

type stillWaiting struct {
	nextCheck time.Duration
	state     any
}

func (*stillWaiting) Error() string { return "the stage is still waiting" }

func stateJSON(state any) (json.RawMessage, error) {
	if state == nil {
		return json.RawMessage("{}"), nil
	}
	return encode(state)
}
