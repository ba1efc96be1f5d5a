package stageline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	pb "stageline/sdk/gen/stageline/v1"
)

type text struct{ Body string }

// failure runs a stage that is to fail.
func failure(t *testing.T, stage *Stage, input string) *pb.StageError {
	t.Helper()
	offer := &pb.JobOffer{LeaseToken: []byte("lease"), RunInput: jsonPayload(json.RawMessage(input))}
	report := execute(newContext(t.Context(), offer, nil, nil), stage)
	if report.GetFailed() == nil {
		t.Fatalf("the report says %v", report.GetOutcome())
	}
	return report.GetFailed().Error
}

func TestAPanicIsAFailureWithItsStack(t *testing.T) {
	told := failure(t, NewStage("raise", func(*Context, text) (int, error) { panic("no table") }), `{}`)
	if told.Message != "panic: no table" || !strings.Contains(told.StackTrace, "stage_test.go") {
		t.Errorf("told %q with the stack %q", told.Message, told.StackTrace)
	}
}

func TestAnErrorIsNamedByItsOwnType(t *testing.T) {
	told := failure(t, NewStage("fail", func(*Context, text) (int, error) {
		return 0, Final(fmt.Errorf("no page: %w", errors.ErrUnsupported))
	}), `{}`)
	if told.Type != "*fmt.wrapError" || told.Message != "no page: unsupported operation" || told.GetRetryable() {
		t.Errorf("told %v", told)
	}
}

func TestAnInputThatDoesNotFitIsRefused(t *testing.T) {
	called := false
	told := failure(t, NewStage("count", func(*Context, text) (int, error) { called = true; return 0, nil }), `{"Body": 7}`)
	if told.Kind != pb.FailureKind_FAILURE_KIND_INVALID_INPUT || told.Retryable == nil || *told.Retryable || called {
		t.Errorf("told %v, called %v", told, called)
	}
}

func TestAnOutputThatJSONCannotShowIsRefused(t *testing.T) {
	told := failure(t, NewStage("odd", func(*Context, text) (any, error) { return make(chan int), nil }), `{}`)
	if told.Kind != pb.FailureKind_FAILURE_KIND_INVALID_OUTPUT {
		t.Errorf("told %v", told)
	}
}

func TestTimeThatIsOverIsTold(t *testing.T) {
	ctx, release := context.WithTimeout(t.Context(), time.Nanosecond)
	defer release()
	stage := NewStage("slow", func(ctx *Context, _ text) (int, error) { <-ctx.Done(); return 0, ctx.Err() })
	offer := &pb.JobOffer{RunInput: jsonPayload(json.RawMessage("{}"))}
	told := execute(newContext(ctx, offer, nil, nil), stage).GetFailed().GetError()
	if told.GetKind() != pb.FailureKind_FAILURE_KIND_TIMED_OUT {
		t.Errorf("told %v", told)
	}
}

func TestWorkThatWasStoppedHasNoReport(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	stop(fmt.Errorf("%w: the run was cancelled", ErrStopped))
	stage := NewStage("slow", func(ctx *Context, _ text) (int, error) { return 0, ctx.Err() })
	offer := &pb.JobOffer{RunInput: jsonPayload(json.RawMessage("{}"))}
	if report := execute(newContext(ctx, offer, nil, nil), stage); report != nil {
		t.Errorf("reported %v", report)
	}
}

func TestOutputsKeepTheirCharacters(t *testing.T) {
	encoded, err := encode("<größe> & 日本語 🦉")
	if err != nil || string(encoded) != `"<größe> & 日本語 🦉"` {
		t.Errorf("encoded %s, %v", encoded, err)
	}
}

func TestTextIsCutAtACharacter(t *testing.T) {
	for size := 3; size < 12; size++ {
		short := cut("üüüüüüüü", size)
		if len(short) > size || !strings.HasSuffix(short, "…") || strings.ContainsRune(short, '�') {
			t.Errorf("cut to %d bytes: %q", size, short)
		}
	}
	if whole := cut("ü", 2); whole != "ü" {
		t.Errorf("cut what was short enough: %q", whole)
	}
}

func TestWorkflowsAreCheckedBeforeTheServerDoes(t *testing.T) {
	stage := NewStage("a", func(*Context, text) (int, error) { return 0, nil })
	for _, each := range []*Workflow{NewWorkflow("empty"), NewWorkflow("twice").Then(stage).Then(stage), Remote("none")} {
		if _, err := NewWorker(WorkerOptions{Workflows: []*Workflow{each}}); err == nil {
			t.Errorf("workflow %s was accepted", each.Name())
		}
	}
}

func TestBackoffGrowsAndStaysWithinItsBounds(t *testing.T) {
	var tries backoff
	var longest time.Duration
	for try := range 200 {
		wait := tries.next(0)
		if bound := min(backoffLongest, backoffFirst<<min(try, 30)); wait < 0 || wait > bound {
			t.Fatalf("try %d waits %s, the bound is %s", try, wait, bound)
		}
		longest = max(longest, wait)
	}
	if longest < time.Second {
		t.Errorf("the longest of 200 waits is %s", longest)
	}
	if wait := tries.next(time.Millisecond); wait > time.Millisecond {
		t.Errorf("a bound of 1 ms gives %s", wait)
	}
}

func TestUUIDsHaveTheirForm(t *testing.T) {
	id := newUUID()
	if len(id) != 36 || id[14] != '7' || !strings.ContainsRune("89ab", rune(id[19])) || id == newUUID() {
		t.Errorf("made %s", id)
	}
}
