package stageline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "stageline/sdk/gen/stageline/v1"
)

// Client starts and reads runs. It is safe for use by many goroutines.
type Client struct {
	connection *grpc.ClientConn
	namespace  string
	workflows  pb.WorkflowServiceClient
	runs       pb.RunServiceClient
	payloads   payloadCalls
}

// NewClient makes a client; the connection is established by the first call. The namespace may be empty for "default".
func NewClient(connect ConnectOptions, namespace string) (*Client, error) {
	connection, err := connect.withDefaults().dial()
	if err != nil {
		return nil, err
	}
	return &Client{
		connection: connection,
		namespace:  namespace,
		workflows:  pb.NewWorkflowServiceClient(connection),
		runs:       pb.NewRunServiceClient(connection),
		payloads: payloadCalls{
			connection: func() (*grpc.ClientConn, error) { return connection, nil }, namespace: namespace,
		},
	}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.connection.Close() }

// RunOptions are the settings of a run; the zero value has all defaults.
type RunOptions struct {
	// Version of the workflow. Zero means the latest.
	Version int
	// RequestID makes a retry safe: the same id gives the run that the first call made. Empty means a new one.
	RequestID string
	// Config by stage id, over the stages' defaults.
	Config map[string]any
	// Priority, 0 to 100. Nil means 5.
	Priority *int32
	// Labels for people and for queries.
	Labels map[string]string
}

// Run is a run of a workflow, as the server told it.
type Run struct {
	ID      string
	State   string
	Output  json.RawMessage
	Error   string
	Message *pb.Run
}

// Ended tells whether the run has come to its end: COMPLETED, FAILED or CANCELLED.
func (r *Run) Ended() bool {
	return r.State == "COMPLETED" || r.State == "FAILED" || r.State == "CANCELLED"
}

// Register registers a workflow, unless it is registered already, and returns its version.
func (c *Client) Register(ctx context.Context, workflow *Workflow) (int, error) {
	request := &pb.RegisterWorkflowRequest{Namespace: c.namespace, Definition: workflow.definition}
	response, err := c.workflows.RegisterWorkflow(ctx, request)
	return int(response.GetWorkflow().GetVersion()), apiError(err)
}

// Create starts a run of a workflow with an input, which is written as JSON.
func (c *Client) Create(ctx context.Context, workflowName string, input any, options RunOptions) (*Run, error) {
	text, err := encode(input)
	if err != nil {
		return nil, fmt.Errorf("the run's input: %w", err)
	}
	request := &pb.CreateRunRequest{
		Namespace: c.namespace, RequestId: options.RequestID, WorkflowName: workflowName,
		WorkflowVersion: int32(options.Version), Input: jsonPayload(text), Priority: options.Priority,
		Labels: options.Labels,
	}
	if request.RequestId == "" {
		request.RequestId = newUUID()
	}
	if options.Config != nil {
		config, err := encode(options.Config)
		if err != nil {
			return nil, fmt.Errorf("the run's config: %w", err)
		}
		request.Config = jsonPayload(config)
	}
	for _, payload := range []*pb.Payload{request.Input, request.Config} {
		if err := c.payloads.offload(ctx, payload, inlinePayloadBytesMax); err != nil {
			return nil, err
		}
	}
	response, err := c.runs.CreateRun(ctx, request)
	return runOf(response.GetRun()), apiError(err)
}

// inlinePayloadBytesMax is over what a client stores values apart: the limit that servers have unless they are told otherwise.
const inlinePayloadBytesMax = 128 << 10

// Get reads a run with its stages.
func (c *Client) Get(ctx context.Context, runID string) (*Run, error) {
	request := &pb.GetRunRequest{Namespace: c.namespace, RunId: runID, View: pb.RunView_RUN_VIEW_FULL}
	response, err := c.runs.GetRun(ctx, request)
	if err != nil {
		return nil, apiError(err)
	}
	if err := c.payloads.resolve(ctx, payloadsOf(response.Run)...); err != nil {
		return nil, err
	}
	return runOf(response.Run), nil
}

// Wait returns a run once it has ended. Nothing is polled: the server tells. A run that failed is no error. A server that
// cannot be reached is tried again until the context is done.
func (c *Client) Wait(ctx context.Context, runID string) (*Run, error) {
	var tries backoff
	var seen int64
	for {
		err := c.watch(ctx, runID, &seen)
		if err == nil {
			return c.Get(ctx, runID)
		}
		if code := status.Code(err); code != codes.Unavailable && code != codes.Internal {
			return nil, apiError(err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(tries.next(0)):
		}
	}
}

// watch follows a run to its end.
func (c *Client) watch(ctx context.Context, runID string, seen *int64) error {
	request := &pb.WatchRunRequest{Namespace: c.namespace, RunId: runID, AfterSequence: *seen}
	events, err := c.runs.WatchRun(ctx, request)
	for err == nil {
		var response *pb.WatchRunResponse
		if response, err = events.Recv(); err == nil {
			*seen = response.GetEvent().GetSequence()
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// RunAndWait is Create and then Wait.
func (c *Client) RunAndWait(ctx context.Context, workflowName string, input any, options RunOptions) (*Run, error) {
	run, err := c.Create(ctx, workflowName, input, options)
	if err != nil {
		return nil, err
	}
	return c.Wait(ctx, run.ID)
}

// payloadsOf returns the values of a run that may be stored apart.
func payloadsOf(run *pb.Run) []*pb.Payload {
	payloads := []*pb.Payload{run.GetInput(), run.GetConfig(), run.GetOutput()}
	for _, stage := range run.GetStages() {
		payloads = append(payloads, stage.GetOutput())
	}
	return payloads
}

func runOf(message *pb.Run) *Run {
	if message == nil {
		return nil
	}
	state := message.State.String()
	return &Run{
		ID: message.RunId, State: state[len("RUN_STATE_"):], Output: message.GetOutput().GetJson(),
		Error: message.GetError().GetMessage(), Message: message,
	}
}
