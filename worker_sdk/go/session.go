package stageline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "stageline/sdk/gen/stageline/v1"
)

const (
	callTimeout = 20 * time.Second
	// How long the server may take to end a stream that the worker has drained and closed.
	goodbyeWithin = 2 * time.Second
	// The longest wait between two tries while leases are held, as a share of the session's timeout (R62).
	heldShare = 5
)

// session does the I/O around a core, on one goroutine: it connects, keeps time, and connects again until it has drained.
type session struct {
	core       *core
	connect    ConnectOptions
	namespace  string
	workflows  map[string]*Workflow
	versions   map[string]int32
	logger     *slog.Logger
	connection *grpc.ClientConn
	backoff    backoff
	leaving    *leaveStream

	drains chan time.Duration
	wake   chan struct{}
	mu     sync.Mutex
	posted []any
	// Ends the contexts of jobs, by lease.
	cancels map[string]context.CancelCauseFunc
	// The stage of each job, while its function runs.
	running sync.WaitGroup
}

type leaveStream struct {
	reason  string
	after   *durationpb.Duration
	address string
}

// post takes a message of a job, from any goroutine; it never waits.
func (s *session) post(message any) {
	s.mu.Lock()
	s.posted = append(s.posted, message)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// takePosted deals with what jobs have said.
func (s *session) takePosted() {
	s.mu.Lock()
	messages := s.posted
	s.posted = nil
	s.mu.Unlock()
	now := time.Now()
	for _, message := range messages {
		s.core.take(message, now)
	}
}

// run serves until the worker has drained, or the server says that trying again does not help.
func (s *session) run() error {
	defer s.closeConnection()
	for !s.core.isDrained(time.Now()) {
		after, err := s.serveOnce()
		if err != nil {
			return err
		}
		if s.core.isDrained(time.Now()) {
			break
		}
		wait := s.waitBeforeNextTry(after)
		s.logger.Info("connecting again", "wait", wait)
		await[struct{}](s, nil, time.Now().Add(wait))
	}
	return nil
}

func (s *session) waitBeforeNextTry(after *durationpb.Duration) time.Duration {
	if after != nil {
		return after.AsDuration()
	}
	if s.core.terms != nil && len(s.core.jobs.order) > 0 {
		return s.backoff.next(s.core.terms.sessionTimeout / heldShare)
	}
	return s.backoff.next(0)
}

// await does what is due until the channel yields, a time has come, or the worker has drained; the latter two give false.
func await[T any](s *session, result <-chan T, until time.Time) (T, bool) {
	var none T
	for {
		now := time.Now()
		s.core.tick(now)
		if s.core.isDrained(now) || isDue(until, now) {
			return none, false
		}
		timer := time.NewTimer(wait(earliest(until, s.core.nextTickAt()), now))
		select {
		case value := <-result:
			timer.Stop()
			return value, true
		case <-s.wake:
			s.takePosted()
		case within := <-s.drains:
			s.core.beginDrain(within, time.Now())
		case <-timer.C:
		}
		timer.Stop()
	}
}

func wait(at, now time.Time) time.Duration {
	if at.IsZero() {
		return time.Hour
	}
	return max(0, at.Sub(now))
}

// opened is a stream, or why there is none.
type opened struct {
	stages []*pb.WorkerStages
	stream grpc.BidiStreamingClient[pb.WorkerFrame, pb.ServerFrame]
	err    error
}

// serveOnce serves over one stream, and returns what was said about when to connect again; an error ends the worker.
func (s *session) serveOnce() (*durationpb.Duration, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	opening := make(chan opened, 1)
	connection, err := s.channel()
	if err != nil {
		return nil, err
	}
	go func() { opening <- s.open(ctx, connection) }()
	got, ok := await(s, opening, time.Time{})
	if !ok {
		return nil, nil
	}
	if got.err != nil {
		return nil, s.judge(nil, got.err)
	}
	s.leaving = nil
	err = s.serveStream(ctx, got.stream, s.core.openStream(got.stages, time.Now()))
	end := s.core.closeStream()
	if s.leaving != nil {
		s.logger.Info("left the server", "reason", s.leaving.reason)
		if s.leaving.address != "" {
			s.move(s.leaving.address)
		}
		return s.leaving.after, nil
	}
	return end.GetReconnectAfter(), s.judge(end, err)
}

// open registers what the worker serves, and opens a stream (R1).
func (s *session) open(ctx context.Context, connection *grpc.ClientConn) opened {
	calls, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var stages []*pb.WorkerStages
	for _, workflow := range s.workflows {
		entry, err := s.register(calls, connection, workflow)
		if err != nil {
			return opened{err: apiError(err)}
		}
		stages = append(stages, entry)
	}
	stream, err := pb.NewWorkerServiceClient(connection).Work(ctx)
	return opened{stages, stream, apiError(err)}
}

func (s *session) register(
	ctx context.Context, connection *grpc.ClientConn, workflow *Workflow,
) (*pb.WorkerStages, error) {
	client := pb.NewWorkflowServiceClient(connection)
	if !workflow.remote {
		request := &pb.RegisterWorkflowRequest{Namespace: s.namespace, Definition: workflow.definition}
		response, err := client.RegisterWorkflow(ctx, request)
		return entryOf(workflow, response.GetWorkflow(), nil), err
	}
	request := &pb.GetWorkflowRequest{Namespace: s.namespace, WorkflowName: workflow.Name()}
	response, err := client.GetWorkflow(ctx, request)
	var ids []string
	for id := range workflow.stages {
		ids = append(ids, id)
	}
	return entryOf(workflow, response.GetWorkflow(), ids), err
}

func entryOf(workflow *Workflow, registered *pb.Workflow, stageIDs []string) *pb.WorkerStages {
	return &pb.WorkerStages{
		WorkflowName:    workflow.Name(),
		WorkflowVersion: registered.GetVersion(),
		WorkflowDigest:  registered.GetDigest(),
		StageIds:        stageIDs,
	}
}

// received is a frame of the server, or how the stream ended.
type received struct {
	frame *pb.ServerFrame
	err   error
}

// serveStream moves frames until either side has had enough. While a frame is on its way, the next one gathers.
func (s *session) serveStream(
	ctx context.Context, stream grpc.BidiStreamingClient[pb.WorkerFrame, pb.ServerFrame], first *pb.WorkerFrame,
) error {
	s.versions = map[string]int32{}
	for _, entry := range first.Items[0].GetHello().Stages {
		s.versions[entry.WorkflowName] = entry.WorkflowVersion
	}
	frames, writes := make(chan received), make(chan error, 1)
	go readFrames(ctx, stream, frames)
	writing := true
	go func() { writes <- stream.Send(first) }()
	closing := time.Time{}
	for {
		now := time.Now()
		s.core.tick(now)
		if s.leaving != nil {
			return nil
		}
		if !writing && closing.IsZero() {
			if frame := s.core.nextFrame(now); frame != nil {
				writing = true
				go func() { writes <- stream.Send(frame) }()
			} else if s.core.isDrained(now) {
				closing = now.Add(goodbyeWithin)
				_ = stream.CloseSend()
			}
		}
		if isDue(closing, now) {
			return nil
		}
		at := earliest(s.core.nextTickAt(), closing)
		if !writing && closing.IsZero() {
			at = earliest(at, s.core.nextFrameAt())
		}
		timer := time.NewTimer(wait(at, now))
		select {
		case got := <-frames:
			if got.err != nil {
				timer.Stop()
				return got.err
			}
			if err := s.receive(got.frame); err != nil {
				timer.Stop()
				return err
			}
		case err := <-writes:
			writing = err != nil // After an error nothing more is written: the reader is told how the stream ended.
		case <-s.wake:
			s.takePosted()
		case within := <-s.drains:
			s.core.beginDrain(within, time.Now())
		case <-timer.C:
		}
		timer.Stop()
	}
}

func readFrames(ctx context.Context, stream grpc.BidiStreamingClient[pb.WorkerFrame, pb.ServerFrame], frames chan<- received) {
	for {
		frame, err := stream.Recv()
		select {
		case frames <- received{frame, err}:
		case <-ctx.Done(): // Nobody reads any more.
			return
		}
		if err != nil {
			return
		}
	}
}

func (s *session) receive(frame *pb.ServerFrame) error {
	wasWelcomed := s.core.stream.terms != nil
	if err := s.core.receive(frame, time.Now()); err != nil {
		return err
	}
	if !wasWelcomed && s.core.stream.terms != nil {
		s.backoff.reset()
		s.logger.Info("connected", "address", s.connect.Address, "session", s.core.sessionID)
	}
	return nil
}

// judge says what the end of a stream means: nil to try again, an error to end the worker (R85 to R89).
func (s *session) judge(end *pb.SessionEnd, err error) error {
	if end != nil && end.Reason == pb.DisconnectReason_DISCONNECT_REASON_SUPERSEDED {
		s.logger.Warn("the session goes on with another stream; a new one begins")
		s.core.abandonSession()
		return nil
	}
	if end != nil && !end.Reconnect && end.Reason != pb.DisconnectReason_DISCONNECT_REASON_DRAINED {
		return fmt.Errorf("the server ended the session for good: %s: %s", end.Reason, end.GetError().GetMessage())
	}
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	err = apiError(err)
	if reasonOf(err) == "SESSION_SUPERSEDED" {
		s.core.abandonSession()
		return nil
	}
	if isFatal(err) {
		return err
	}
	s.logger.Warn("no connection", "error", err)
	return nil
}

func isFatal(err error) bool {
	switch status.Code(err) {
	case codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented:
		return true
	case codes.InvalidArgument, codes.AlreadyExists:
		return reasonOf(err) != "" && reasonOf(err) != "FRAME_INVALID"
	case codes.ResourceExhausted:
		return reasonOf(err) == "LIMIT_EXCEEDED" || reasonOf(err) == "PAYLOAD_TOO_LARGE"
	}
	return reasonOf(err) == "PROTOCOL_VERSION_UNSUPPORTED" || reasonOf(err) == "NAMESPACE_NOT_FOUND"
}

// channel returns the connection; it is shared with the jobs that fetch outputs.
func (s *session) channel() (*grpc.ClientConn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.connection != nil {
		return s.connection, nil
	}
	connection, err := s.connect.dial()
	s.connection = connection
	return connection, err
}

// move leaves for the server that a draining one named (R83).
func (s *session) move(address string) {
	s.closeConnection()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connect = s.connect.movedTo(address)
}

func (s *session) closeConnection() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.connection != nil {
		_ = s.connection.Close()
		s.connection = nil
	}
}
