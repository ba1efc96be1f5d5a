package stageline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "stageline/sdk/gen/stageline/v1"
)

const (
	failureMessageBytesMax = 16 << 10
	failureStackBytesMax   = 16 << 10
	errorTypeBytesMax      = 255
)

// execute runs one job, and returns its report; nil for work that was stopped before its end.
func execute(ctx *Context, stage *Stage) *pb.Report {
	began := time.Now()
	output, err := run(ctx, stage)
	report := &pb.Report{LeaseToken: ctx.offer.LeaseToken, ActiveDuration: durationpb.New(time.Since(began))}
	ctx.mu.Lock()
	report.Metrics = ctx.metrics
	ctx.mu.Unlock()
	if err == nil {
		report.Outcome = &pb.Report_Completed{Completed: &pb.Completed{Output: jsonPayload(output)}}
	} else if !isStopped(ctx, err) {
		err = setOutcome(report, ctx, stage, err)
	}
	if err == nil {
		err = storeApart(ctx, report)
	}
	if isStopped(ctx, err) {
		return nil
	}
	if err != nil {
		report.Outcome = &pb.Report_Failed{Failed: &pb.Failed{Error: stageError(err)}}
	}
	return report
}

// isStopped tells whether an error says no more than that the work is not wanted.
func isStopped(ctx context.Context, err error) bool {
	if reasonOf(err) == "LEASE_SUPERSEDED" {
		return true
	}
	return errors.Is(context.Cause(ctx), ErrStopped) && (errors.Is(err, context.Canceled) || errors.Is(err, ErrStopped))
}

// storeApart stores a report's value where it is too large for a message (R102); one over every limit stays, and is
// refused by fitted.
func storeApart(ctx *Context, report *pb.Report) error {
	_, payload := payloadOf(report)
	size := len(payload.GetJson())
	if ctx.limits == nil || size <= ctx.limits.inlinePayloadBytesMax || size > ctx.limits.payloadBytesMax {
		return nil
	}
	return transferred(ctx.session.payloads(ctx.offer.LeaseToken).offload(ctx, payload, ctx.limits.inlinePayloadBytesMax))
}

// setOutcome sets what a suspension or a check's answer means; any other error is returned as it is.
func setOutcome(report *pb.Report, ctx *Context, stage *Stage, err error) error {
	var suspending *suspended
	var waiting *stillWaiting
	isCheck := ctx.offer.Kind == pb.JobKind_JOB_KIND_CHECK
	switch {
	case errors.As(err, &suspending):
		if stage.check == nil || isCheck {
			return misused(stage, "suspended, which only the function of an async stage may")
		}
		told, err := suspendedMessage(suspending.Suspension, ctx.resume)
		if err != nil {
			return &misfitError{pb.FailureKind_FAILURE_KIND_INVALID_OUTPUT, "state of the suspension", err}
		}
		report.Outcome = &pb.Report_Suspended{Suspended: told}
	case errors.As(err, &waiting):
		if !isCheck {
			return misused(stage, "is still waiting, which only a check may say")
		}
		told := &pb.StillWaiting{}
		if waiting.nextCheck > 0 {
			told.NextCheckDelay = durationpb.New(waiting.nextCheck)
		}
		if waiting.state != nil {
			state, err := encode(waiting.state)
			if err != nil {
				return &misfitError{pb.FailureKind_FAILURE_KIND_INVALID_OUTPUT, "state of the suspension", err}
			}
			told.State = jsonPayload(state)
		}
		report.Outcome = &pb.Report_StillWaiting{StillWaiting: told}
	default:
		return err
	}
	return nil
}

func suspendedMessage(how Suspension, conditions []*pb.ResumeCondition) (*pb.Suspended, error) {
	state, err := stateJSON(how.State)
	if err != nil {
		return nil, err
	}
	policy := &pb.PollPolicy{NeverPoll: how.NeverPoll}
	if how.PollInterval > 0 {
		policy.PollInterval = durationpb.New(how.PollInterval)
	}
	if how.MaxWait > 0 {
		policy.WaitMax = durationpb.New(how.MaxWait)
	}
	if how.FirstCheck > 0 {
		policy.FirstCheckDelay = durationpb.New(how.FirstCheck)
	}
	return &pb.Suspended{State: jsonPayload(state), PollPolicy: policy, ResumeConditions: conditions}, nil
}

// run calls the stage's function, or its check; a panic becomes an error.
func run(ctx *Context, stage *Stage) (output json.RawMessage, err error) {
	defer func() {
		if raised := recover(); raised != nil {
			output, err = nil, &panicError{raised, string(debug.Stack())}
		}
	}()
	if err := fetchLarge(ctx); err != nil {
		return nil, err
	}
	if ctx.offer.Kind == pb.JobKind_JOB_KIND_CHECK {
		if stage.check == nil {
			return nil, misused(stage, "is suspended, but this version of it has no check")
		}
		state := ctx.offer.GetSuspendedState().GetJson()
		if len(state) == 0 {
			state = []byte("{}")
		}
		return stage.check(ctx, state)
	}
	input, err := buildInput(ctx)
	if err != nil {
		return nil, err
	}
	return stage.execute(ctx, input)
}

// fetchLarge fetches the input and the state that are stored apart (R103).
func fetchLarge(ctx *Context) error {
	offer := ctx.offer
	if offer.GetRunInput().GetReference() == nil && offer.GetSuspendedState().GetReference() == nil {
		return nil
	}
	return transferred(ctx.session.payloads(offer.LeaseToken).resolve(ctx, offer.RunInput, offer.SuspendedState))
}

// buildInput makes the stage's input of what the offer holds (R41), and fetches what it does not (R42).
func buildInput(ctx *Context) (json.RawMessage, error) {
	offer := ctx.offer
	if len(offer.InputStageIds) == 0 {
		if text := offer.GetRunInput().GetJson(); len(text) > 0 {
			return text, nil
		}
		return json.RawMessage("{}"), nil
	}
	var missing []string
	outputs := map[string]json.RawMessage{}
	for _, id := range offer.InputStageIds {
		if payload, ok := offer.Outputs[id]; ok && payload.GetReference() == nil {
			outputs[id] = payload.GetJson()
		} else {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 {
		found, err := ctx.session.fetchOutputs(ctx, offer.LeaseToken, missing)
		if err != nil {
			return nil, transferred(err)
		}
		for id, text := range found {
			outputs[id] = text
		}
	}
	return assembleInput(offer.InputStageIds, outputs)
}

func assembleInput(ids []string, outputs map[string]json.RawMessage) (json.RawMessage, error) {
	if len(ids) == 1 {
		return outputs[ids[0]], nil
	}
	parts := make([]string, 0, len(ids))
	for _, id := range ids {
		key, err := encode(id)
		if err != nil {
			return nil, err
		}
		parts = append(parts, string(key)+":"+string(outputs[id]))
	}
	return json.RawMessage("{" + strings.Join(parts, ",") + "}"), nil
}

// panicError is a panic of the stage's code.
type panicError struct {
	raised any
	stack  string
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.raised) }

// transferError says that a value could not be moved to or from the server.
type transferError struct{ error }

func (e *transferError) Unwrap() error { return e.error }

func transferred(err error) error {
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &transferError{err}
}

func misused(stage *Stage, what string) error {
	return &misfitError{
		pb.FailureKind_FAILURE_KIND_INVALID_OUTPUT, "stage", fmt.Errorf("stage %q %s", stage.ID(), what),
	}
}

// stageError tells an error of the stage's code, or of a value that does not fit.
func stageError(err error) *pb.StageError {
	told := &pb.StageError{Kind: pb.FailureKind_FAILURE_KIND_APPLICATION}
	named := err
	var verdict *verdictError
	if errors.As(err, &verdict) {
		told.Retryable = &verdict.retryable
		if verdict.retryAfter > 0 {
			told.RetryAfter = durationpb.New(verdict.retryAfter)
		}
		named = verdict.error
	}
	var misfit *misfitError
	if errors.As(err, &misfit) {
		final := false
		told.Kind, told.Retryable, named = misfit.kind, &final, misfit.cause
	}
	var transfer *transferError
	if errors.As(err, &transfer) {
		told.Kind, named = pb.FailureKind_FAILURE_KIND_INTERNAL, transfer.error
		if status.Code(err) != codes.Unavailable { // What the server refused it will refuse again.
			final := false
			told.Retryable = &final
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		told.Kind = pb.FailureKind_FAILURE_KIND_TIMED_OUT
	}
	var raised *panicError
	if errors.As(err, &raised) {
		told.StackTrace = cut(cleanText(raised.stack), failureStackBytesMax)
	}
	told.Type = cut(fmt.Sprintf("%T", named), errorTypeBytesMax)
	told.Message = cut(cleanText(err.Error()), failureMessageBytesMax)
	if told.Message == "" {
		told.Message = told.Type
	}
	return told
}

func jsonPayload(text json.RawMessage) *pb.Payload {
	return &pb.Payload{Body: &pb.Payload_Json{Json: text}}
}
