package stageline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "stageline/sdk/gen/stageline/v1"
)

const (
	slotsDefault = 16
	drainDefault = 30 * time.Second
	// How long stopped functions may take to return once the session has ended.
	returnWithin = time.Second
)

// WorkerOptions are the settings of a worker.
type WorkerOptions struct {
	ConnectOptions
	// Workflows is what it serves, at least one.
	Workflows []*Workflow
	// Slots is the most jobs that it works on at once, 1 to 10,000. Zero means 16.
	Slots int
	// Name is for people, at most 128 characters. Empty means the first workflow's name.
	Name string
	// Namespace is the tenant that it works for. Empty means "default".
	Namespace string
	// Labels are for people, and for stages that require them.
	Labels map[string]string
	// BuildID is the version or commit of your code.
	BuildID string
	// DrainTimeout is how long it may take to end; then jobs are stopped and handed back. Zero means 30 s.
	DrainTimeout time.Duration
	// Logger is told what happens; nil means slog's default.
	Logger *slog.Logger
}

// Worker serves the stages of workflows: it registers them, gets jobs, runs them, reports, until it is told to stop. A connection
// that breaks is taken up again, for ever, and work that was begun goes on meanwhile.
type Worker struct {
	options WorkerOptions
	drains  chan time.Duration
}

// NewWorker makes a worker; nothing is sent yet.
func NewWorker(options WorkerOptions) (*Worker, error) {
	if len(options.Workflows) == 0 {
		return nil, errors.New("a worker serves at least one workflow")
	}
	seen := map[string]bool{}
	for _, workflow := range options.Workflows {
		if err := workflow.check(); err != nil {
			return nil, err
		}
		if seen[workflow.Name()] {
			return nil, fmt.Errorf("a worker serves one version of a workflow; %q is given twice", workflow.Name())
		}
		seen[workflow.Name()] = true
	}
	options.ConnectOptions = options.ConnectOptions.withDefaults()
	if options.Slots == 0 {
		options.Slots = slotsDefault
	}
	if options.Slots < 1 || options.Slots > 10_000 {
		return nil, fmt.Errorf("slots must be 1 to 10000, got %d", options.Slots)
	}
	if options.Name == "" {
		options.Name = options.Workflows[0].Name()
	}
	if options.DrainTimeout == 0 {
		options.DrainTimeout = drainDefault
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	return &Worker{options: options, drains: make(chan time.Duration, 16)}, nil
}

// Stop makes Run end: take nothing new, finish what is held or hand it back within the drain's time. It returns at once.
func (w *Worker) Stop() { w.StopWithin(w.options.DrainTimeout) }

// StopWithin is [Worker.Stop] with another time. A later call may only shorten it.
func (w *Worker) StopWithin(limit time.Duration) {
	select {
	case w.drains <- limit:
	default:
	}
}

// Run serves until [Worker.Stop], or until the context is done, which stops it likewise. The error is nil after a drain;
// else it says why trying again would not help: no right to work here, a definition that the server refuses.
func (w *Worker) Run(ctx context.Context) error {
	session := w.session()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for {
			select {
			case <-ctx.Done():
				session.drains <- w.options.DrainTimeout
				return
			case within := <-w.drains:
				session.drains <- within
			case <-ended:
				return
			}
		}
	}()
	err := session.run()
	session.stopAll()
	return err
}

// RunUntilSignal serves until SIGINT or SIGTERM, and then ends as [Worker.Stop] does. A second signal ends the process.
func (w *Worker) RunUntilSignal() error {
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer restore()
	go func() {
		<-ctx.Done()
		restore()
	}()
	return w.Run(ctx)
}

func (w *Worker) session() *session {
	options := w.options
	hostname, _ := os.Hostname()
	s := &session{
		connect:   options.ConnectOptions,
		namespace: options.Namespace,
		workflows: map[string]*Workflow{},
		logger:    options.Logger,
		drains:    make(chan time.Duration, 1),
		wake:      make(chan struct{}, 1),
		cancels:   map[string]context.CancelCauseFunc{},
	}
	for _, workflow := range options.Workflows {
		s.workflows[workflow.Name()] = workflow
	}
	s.core = newCore(&pb.Hello{
		Namespace:       options.Namespace,
		ProtocolVersion: protocolVersion,
		Slots:           int32(options.Slots),
		Labels:          options.Labels,
		Identity: &pb.WorkerIdentity{
			Name: options.Name, Hostname: hostname, ProcessId: int64(os.Getpid()), SdkName: "stageline-go",
			SdkVersion: Version, Runtime: "go " + runtime.Version(), BuildId: options.BuildID,
		},
	}, s)
	return s
}

// What the state machine asks for; all of it is called on the session's goroutine.

func (s *session) knows(offer *pb.JobOffer) bool {
	workflow := s.workflows[offer.WorkflowName]
	return workflow != nil && s.versions[offer.WorkflowName] == offer.WorkflowVersion && workflow.stages[offer.StageId] != nil
}

func (s *session) startJob(offer *pb.JobOffer) {
	ctx, cancel := context.WithCancelCause(context.Background())
	s.mu.Lock()
	s.cancels[string(offer.LeaseToken)] = cancel
	s.mu.Unlock()
	stage := s.workflows[offer.WorkflowName].stages[offer.StageId]
	limits := s.core.terms
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		release := context.CancelFunc(func() {})
		job := context.Context(ctx)
		if offer.StartToClose != nil {
			job, release = context.WithTimeout(ctx, offer.StartToClose.AsDuration())
		}
		report := execute(newContext(job, offer, s, limits), stage)
		release()
		s.mu.Lock()
		delete(s.cancels, string(offer.LeaseToken))
		s.mu.Unlock()
		cancel(nil)
		s.post(finishedMessage{offer.LeaseToken, report})
	}()
}

func (s *session) stopJob(token []byte, reason string) {
	s.mu.Lock()
	cancel := s.cancels[string(token)]
	s.mu.Unlock()
	if cancel != nil {
		cancel(fmt.Errorf("%w: %s", ErrStopped, reason))
	}
}

func (s *session) leaveStream(reason string, after *durationpb.Duration, address string) {
	if s.leaving == nil {
		s.leaving = &leaveStream{reason, after, address}
	}
}

func (s *session) warn(format string, arguments ...any) {
	s.logger.Warn(fmt.Sprintf(format, arguments...))
}

// stopAll tells what still runs to stop, and gives it a moment to return.
func (s *session) stopAll() {
	s.mu.Lock()
	for _, cancel := range s.cancels {
		cancel(fmt.Errorf("%w: the worker ends", ErrStopped))
	}
	s.mu.Unlock()
	returned := make(chan struct{})
	go func() {
		s.running.Wait()
		close(returned)
	}()
	select {
	case <-returned:
	case <-time.After(returnWithin):
	}
}
