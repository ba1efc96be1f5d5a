package stageline

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
)

// ErrNoOutput says that no earlier stage of the run has the id that was asked for.
var ErrNoOutput = errors.New("no stage of an earlier group has this output")

// ErrStopped is the cause of a stage's context when its work is not wanted any more: see [context.Cause].
var ErrStopped = errors.New("the work is not wanted any more")

// verdictError is an error about which the stage's code knows whether a retry can help.
type verdictError struct {
	error
	retryable  bool
	retryAfter time.Duration
}

func (e *verdictError) Unwrap() error { return e.error }

// Final marks an error as one that no retry can heal: the stage fails for good, whatever its retry policy says.
func Final(err error) error { return &verdictError{error: err} }

// Retryable marks an error as one that a retry may heal, after a wait that takes the place of the policy's backoff. A wait
// of zero leaves that to the policy. The policy's number of attempts holds.
func Retryable(err error, after time.Duration) error {
	return &verdictError{error: err, retryable: true, retryAfter: after}
}

// APIError is a call that the server refused. Programs decide by Reason, a name of stageline.v1.ErrorReason without its
// prefix such as "RUN_NOT_FOUND", never by the text.
type APIError struct {
	Reason   string
	Metadata map[string]string
	status   *status.Status
}

func (e *APIError) Error() string {
	return fmt.Sprintf("%s %s: %s", e.status.Code(), e.Reason, e.status.Message())
}

// GRPCStatus makes [status.FromError] and [status.Code] work on it.
func (e *APIError) GRPCStatus() *status.Status { return e.status }

// apiError gives an error of gRPC the reason that its details hold.
func apiError(err error) error {
	told, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	for _, detail := range told.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.Domain == "stageline" {
			return &APIError{Reason: info.Reason, Metadata: info.Metadata, status: told}
		}
	}
	return err
}

// reasonOf returns the reason of a refused call; empty where there is none.
func reasonOf(err error) string {
	var refused *APIError
	if errors.As(err, &refused) {
		return refused.Reason
	}
	return ""
}
