package stageline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "stageline/sdk/gen/stageline/v1"
)

// Stage is one unit of work: an id, a function, and how the server is to treat it. Make one with [NewStage] or
// [NewAsyncStage]; the methods that begin with With return a changed copy.
type Stage struct {
	definition *pb.StageDefinition
	execute    func(*Context, json.RawMessage) (json.RawMessage, error)
	check      func(*Context, json.RawMessage) (json.RawMessage, error)
}

// NewStage makes a stage of a function. Input and output are read and written as JSON: an input that does not fit the type
// fails the attempt for good (INVALID_INPUT), and the function is not called. The type [json.RawMessage] takes any input
// as it came.
func NewStage[In, Out any](id string, run func(*Context, In) (Out, error)) *Stage {
	return &Stage{
		definition: &pb.StageDefinition{Id: id, Mode: pb.StageMode_STAGE_MODE_SYNC},
		execute:    typed("input", run),
	}
}

// NewAsyncStage makes a stage that may suspend: run returns the error of [Suspend] to give its worker back, and check is then
// called with the state, now and again, until it returns an output, or an error other than that of [StillWaiting].
func NewAsyncStage[In, State, Out any](
	id string, run func(*Context, In) (Out, error), check func(*Context, State) (Out, error),
) *Stage {
	return &Stage{
		definition: &pb.StageDefinition{Id: id, Mode: pb.StageMode_STAGE_MODE_ASYNC_BATCH},
		execute:    typed("input", run),
		check:      typed("state of the suspension", check),
	}
}

// ID returns the stage's id.
func (s *Stage) ID() string { return s.definition.Id }

// WithSchemas gives the stage JSON Schemas (draft 2020-12) of its input, output and config; the server checks outputs and
// configs against them. Nil accepts any JSON value.
func (s *Stage) WithSchemas(input, output, config json.RawMessage) *Stage {
	return s.changed(func(definition *pb.StageDefinition) {
		definition.InputSchema, definition.OutputSchema, definition.ConfigSchema = input, output, config
	})
}

// WithDefaultConfig gives the stage a config for runs that set none: a JSON object.
func (s *Stage) WithDefaultConfig(config json.RawMessage) *Stage {
	return s.changed(func(definition *pb.StageDefinition) { definition.DefaultConfig = config })
}

// WithDependencies names earlier stages whose outputs the function reads with [Context.Require], so that they come along.
func (s *Stage) WithDependencies(ids ...string) *Stage {
	return s.changed(func(definition *pb.StageDefinition) { definition.Dependencies = ids })
}

// WithRequiredLabels names labels that a worker must have to be given the stage's jobs, each with that very value.
func (s *Stage) WithRequiredLabels(labels map[string]string) *Stage {
	return s.changed(func(definition *pb.StageDefinition) { definition.RequiredLabels = labels })
}

// WithMaxAttempts says how often the stage is tried in all. The default is 3; 1 means no retry.
func (s *Stage) WithMaxAttempts(count int) *Stage {
	return s.changed(func(definition *pb.StageDefinition) {
		definition.RetryPolicy = &pb.RetryPolicy{MaxAttempts: int32(count)}
	})
}

// WithTimeout limits the time of an attempt, from the receipt of the job to its report. The context has it as deadline.
func (s *Stage) WithTimeout(limit time.Duration) *Stage {
	return s.changed(func(definition *pb.StageDefinition) {
		definition.Timeouts = &pb.StageTimeouts{StartToClose: durationpb.New(limit)}
	})
}

func (s *Stage) changed(change func(*pb.StageDefinition)) *Stage {
	copied := *s
	copied.definition = cloneOf(s.definition)
	change(copied.definition)
	return &copied
}

// misfitError is a value that its declared type refuses.
type misfitError struct {
	kind  pb.FailureKind
	what  string
	cause error
}

func (e *misfitError) Error() string { return fmt.Sprintf("the %s does not fit: %v", e.what, e.cause) }
func (e *misfitError) Unwrap() error { return e.cause }

// typed makes a function on JSON text of one on values.
func typed[In, Out any](what string, run func(*Context, In) (Out, error)) func(*Context, json.RawMessage) (json.RawMessage, error) {
	return func(ctx *Context, text json.RawMessage) (json.RawMessage, error) {
		var given In
		if err := json.Unmarshal(text, &given); err != nil {
			return nil, &misfitError{pb.FailureKind_FAILURE_KIND_INVALID_INPUT, what, err}
		}
		output, err := run(ctx, given)
		if err != nil {
			return nil, err
		}
		encoded, err := encode(output)
		if err != nil {
			return nil, &misfitError{pb.FailureKind_FAILURE_KIND_INVALID_OUTPUT, "output", err}
		}
		return encoded, nil
	}
}

// encode writes JSON with every character as it is: text is no HTML here.
func encode(value any) (json.RawMessage, error) {
	if raw, ok := value.(json.RawMessage); ok && json.Valid(raw) {
		return raw, nil
	}
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimRight(buffer.Bytes(), "\n"), nil
}
