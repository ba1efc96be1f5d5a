package stageline

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "stageline/sdk/gen/stageline/v1"
)

// Context is what a stage's function gets. It is a [context.Context]: done when the work is not wanted any more (its cause
// is [ErrStopped]) or the attempt's time is over. Its methods may be called from any goroutine until the function returns.
type Context struct {
	context.Context
	// RunID is the run.
	RunID string
	// WorkflowName is the run's workflow, of the version WorkflowVersion.
	WorkflowName    string
	WorkflowVersion int
	// StageID is this stage.
	StageID string
	// Generation is 1 for the first execution, one more at each rerun.
	Generation int
	// Attempt is 1 for the first try; failures count it up.
	Attempt int
	// Delivery is how often this attempt was handed to a worker, this time included.
	Delivery int

	offer   *pb.JobOffer
	session sessionPort
	// Those of the session when the job was offered.
	limits  *terms
	mu      sync.Mutex
	fetched map[string]json.RawMessage
	resume  []*pb.ResumeCondition
	metrics map[string]float64
}

// sessionPort is what a job needs of its session.
type sessionPort interface {
	post(message any)
	fetchOutputs(ctx context.Context, leaseToken []byte, stageIDs []string) (map[string]json.RawMessage, error)
	payloads(leaseToken []byte) payloadCalls
}

func newContext(parent context.Context, offer *pb.JobOffer, session sessionPort, limits *terms) *Context {
	return &Context{
		Context:         parent,
		RunID:           offer.RunId,
		WorkflowName:    offer.WorkflowName,
		WorkflowVersion: int(offer.WorkflowVersion),
		StageID:         offer.StageId,
		Generation:      int(offer.Generation),
		Attempt:         int(offer.Attempt),
		Delivery:        int(offer.Delivery),
		offer:           offer,
		session:         session,
		limits:          limits,
		fetched:         map[string]json.RawMessage{},
		metrics:         map[string]float64{},
	}
}

// Config reads the stage's config into a value: the run's, over the stage's defaults.
func (c *Context) Config(into any) error {
	text := c.offer.GetConfig().GetJson()
	if len(text) == 0 {
		text = []byte("{}")
	}
	if err := json.Unmarshal(text, into); err != nil {
		return &misfitError{pb.FailureKind_FAILURE_KIND_INVALID_CONFIG, "config", err}
	}
	return nil
}

// Require reads the output of an earlier stage into a value. Outputs that did not come with the job are fetched. The error
// is [ErrNoOutput] where there is none, and final.
func (c *Context) Require(stageID string, into any) error {
	text, err := c.output(stageID)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return Final(fmt.Errorf("the output of stage %q: %w", stageID, err))
	}
	return nil
}

func (c *Context) output(stageID string) (json.RawMessage, error) {
	if payload, ok := c.offer.Outputs[stageID]; ok && payload.GetReference() == nil {
		return payload.GetJson(), nil
	}
	if !slices.Contains(c.offer.CompletedStageIds, stageID) {
		return nil, Final(fmt.Errorf("stage %q requires the output of stage %q: %w", c.StageID, stageID, ErrNoOutput))
	}
	c.mu.Lock()
	text, ok := c.fetched[stageID]
	c.mu.Unlock()
	if ok {
		return text, nil
	}
	found, err := c.session.fetchOutputs(c, c.offer.LeaseToken, []string{stageID})
	if err != nil {
		return nil, transferred(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fetched[stageID] = found[stageID]
	return found[stageID], nil
}

// ResumeState reads what the last suspension of this stage left; false where it was not suspended in this generation.
func (c *Context) ResumeState(into any) (bool, error) {
	text := c.offer.GetSuspendedState().GetJson()
	if len(text) == 0 {
		return false, nil
	}
	return true, json.Unmarshal(text, into)
}

// Debug, Info, Warn and Error log a line that is kept with the run, with pairs of keys and values: Info("fetched", "bytes", 10).
func (c *Context) Debug(message string, pairs ...any) {
	c.log(pb.LogLevel_LOG_LEVEL_DEBUG, message, pairs)
}

// Info logs what happened; see [Context.Debug].
func (c *Context) Info(message string, pairs ...any) {
	c.log(pb.LogLevel_LOG_LEVEL_INFO, message, pairs)
}

// Warn logs what is not as it should be; see [Context.Debug].
func (c *Context) Warn(message string, pairs ...any) {
	c.log(pb.LogLevel_LOG_LEVEL_WARNING, message, pairs)
}

// Error logs what went wrong; see [Context.Debug]. To fail the stage, return an error.
func (c *Context) Error(message string, pairs ...any) {
	c.log(pb.LogLevel_LOG_LEVEL_ERROR, message, pairs)
}

func (c *Context) log(level pb.LogLevel, message string, pairs []any) {
	c.session.post(loggedMessage{c.offer.LeaseToken, &pb.LogEntry{
		Level: level, Message: cleanText(message), Fields: fieldsJSON(pairs), LogTime: timestamppb.Now(),
	}})
}

// Progress says how far the stage is, 0 to 1. Of updates in quick succession the last is sent.
func (c *Context) Progress(fraction float64, message string) {
	progress := &pb.StageProgress{Message: cleanText(message)}
	if fraction >= 0 && fraction <= 1 {
		progress.Fraction = &fraction
	}
	c.session.post(progressMessage{c.offer.LeaseToken, progress})
}

// Annotate makes a note on the run, such as why something was decided. The key is a dotted lower-case name, the value
// anything that JSON can show except null, at most 16 KiB.
func (c *Context) Annotate(key string, value any) error {
	text, err := encode(value)
	if err != nil {
		return fmt.Errorf("annotation %q: %w", key, err)
	}
	if string(text) == "null" || len(text) > annotationValueBytesMax {
		return fmt.Errorf("annotation %q: the value is null or over %d bytes", key, annotationValueBytesMax)
	}
	entry := &pb.AnnotationEntry{AnnotationId: newUUID(), Key: key, Value: text}
	c.session.post(annotatedMessage{c.offer.LeaseToken, entry})
	return nil
}

const annotationValueBytesMax = 16 << 10

// Metric reports a number by name; it is kept with the stage.
func (c *Context) Metric(name string, value float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.metrics[name] = value
}

// RecordUsage books an AI call: it is kept until the server has it, whatever becomes of the stage. An empty id is
// replaced by a new one, an unset start time by now.
func (c *Context) RecordUsage(usage Usage) {
	c.session.post(usageMessage{c.offer.LeaseToken, usage.record()})
}

// ResumeToken returns a new token by which the outside may end this stage's wait, once: give it away, then return [Suspend].
// The server is only told its hash. The label is for people; expireAfter of zero means as long as the stage waits.
func (c *Context) ResumeToken(label string, expireAfter time.Duration) string {
	secret := make([]byte, 24)
	_, _ = rand.Read(secret) // Never fails: see crypto/rand.
	token := base64.RawURLEncoding.EncodeToString(secret)
	digest := sha256.Sum256([]byte(token))
	condition := &pb.ResumeCondition{TokenSha256: digest[:], Label: cleanText(label)}
	if expireAfter > 0 {
		condition.ExpireAfter = durationpb.New(expireAfter)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resume = append(c.resume, condition)
	return token
}
