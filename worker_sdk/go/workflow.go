package stageline

import (
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "stageline/sdk/gen/stageline/v1"
)

// Workflow is a named pipeline of groups of stages. Each method returns a changed copy.
type Workflow struct {
	definition *pb.WorkflowDefinition
	stages     map[string]*Stage
	// Whether others register it, and this process only has some of its stages.
	remote bool
}

// NewWorkflow starts a workflow without groups. The server gives it a version when a worker or a client registers it.
func NewWorkflow(name string) *Workflow {
	return &Workflow{definition: &pb.WorkflowDefinition{Name: name}, stages: map[string]*Stage{}}
}

// Remote names a workflow that others register, in whatever language, of which a worker serves these stages. It serves the
// latest version that there is when it connects, and waits until there is one.
func Remote(name string, stages ...*Stage) *Workflow {
	workflow := NewWorkflow(name)
	workflow.remote = true
	for _, stage := range stages {
		workflow.stages[stage.ID()] = stage
	}
	return workflow
}

// Then returns the workflow with one more group: a stage, or several that run side by side on the same input. The next group's
// input is the bare output of a single stage, or an object of the outputs of several, keyed by stage id.
func (w *Workflow) Then(stages ...*Stage) *Workflow {
	next := w.copied()
	group := &pb.StageGroup{}
	for _, stage := range stages {
		group.Stages = append(group.Stages, stage.definition)
		next.stages[stage.ID()] = stage
	}
	next.definition.Groups = append(next.definition.Groups, group)
	return next
}

// WithInputSchema gives runs a JSON Schema (draft 2020-12) of their input, which the server checks.
func (w *Workflow) WithInputSchema(schema json.RawMessage) *Workflow {
	next := w.copied()
	next.definition.InputSchema = schema
	return next
}

// WithRunTimeout limits the time of a whole run.
func (w *Workflow) WithRunTimeout(limit time.Duration) *Workflow {
	next := w.copied()
	next.definition.RunTimeout = durationpb.New(limit)
	return next
}

// Name returns the workflow's name.
func (w *Workflow) Name() string { return w.definition.Name }

func (w *Workflow) copied() *Workflow {
	next := &Workflow{definition: cloneOf(w.definition), stages: map[string]*Stage{}, remote: w.remote}
	for id, stage := range w.stages {
		next.stages[id] = stage
	}
	return next
}

// check says what is wrong with a workflow before the server does.
func (w *Workflow) check() error {
	if w.remote {
		if len(w.stages) == 0 {
			return fmt.Errorf("workflow %q has no stages to serve", w.Name())
		}
		return nil
	}
	count := 0
	for _, group := range w.definition.Groups {
		count += len(group.Stages)
	}
	if count == 0 {
		return fmt.Errorf("workflow %q has no stages", w.Name())
	}
	if count != len(w.stages) {
		return fmt.Errorf("workflow %q has two stages of one id", w.Name())
	}
	return nil
}

func cloneOf[M proto.Message](message M) M { return proto.Clone(message).(M) }
