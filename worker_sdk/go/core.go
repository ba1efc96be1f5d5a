package stageline

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "stageline/sdk/gen/stageline/v1"
)

const (
	protocolVersion = 1
	// How long a server may take for its Welcome, which tells all other times (R23).
	welcomeWithin = 20 * time.Second
	// How long a job that the server wants stopped may go on, where the server sets no deadline (R71).
	stopWithin = 10 * time.Second
)

// host does what the state machine asks for.
type host interface {
	startJob(offer *pb.JobOffer)
	stopJob(token []byte, reason string)
	leaveStream(reason string, after *durationpb.Duration, address string)
	knows(offer *pb.JobOffer) bool
	warn(format string, arguments ...any)
}

// core is the worker's side of a session as a state machine without I/O: frames and times in, frames and calls out. It
// survives its streams: what a worker owes the server is kept here until the server has it.
type core struct {
	profile   *pb.Hello
	host      host
	jobs      *jobTable
	usage     []*keptRecord
	sessionID string
	terms     *terms
	stream    *stream
	heardAt   time.Time
	bucket    logBucket
	drain     *workerDrain
	// The server's Drain on this stream.
	leaving      *pb.Drain
	leavingUntil time.Time
}

func newCore(profile *pb.Hello, host host) *core {
	return &core{profile: profile, host: host, jobs: newJobTable(int(profile.Slots))}
}

// openStream begins a stream, and returns its first frame (R2, R3).
func (c *core) openStream(stages []*pb.WorkerStages, now time.Time) *pb.WorkerFrame {
	c.leaving, c.leavingUntil = nil, time.Time{}
	hello := cloneOf(c.profile)
	hello.Stages, hello.ResumeSessionId = stages, c.sessionID
	for _, job := range c.jobs.order {
		if !job.isHeld() {
			continue
		}
		job.awaitsVerdict, job.reportSent = true, false
		for _, record := range job.annotations {
			record.frame = 0
		}
		held := &pb.HeldLease{LeaseToken: job.token, UnacknowledgedReport: job.report != nil}
		hello.HeldLeases = append(hello.HeldLeases, held)
	}
	for _, record := range c.usage {
		record.frame = 0
	}
	c.stream = &stream{openedAt: now, creditsTold: c.freeSlots()}
	items := []*pb.WorkerItem{{Item: &pb.WorkerItem_Hello{Hello: hello}}, creditsItem(c.stream.creditsTold)}
	return c.stream.sealed(items, now)
}

// closeStream says that the stream is over, and returns the server's last word, if it said one. Leases go on.
func (c *core) closeStream() *pb.SessionEnd {
	ended := c.stream
	c.stream = nil
	if ended == nil {
		return nil
	}
	return ended.end
}

// abandonSession stops everything: the session belongs to another stream now (R86).
func (c *core) abandonSession() {
	c.sessionID = ""
	for _, job := range c.jobs.all() {
		c.drop(job, "the session goes on elsewhere")
	}
}

// errFraming says that the server broke the framing: the stream is of no use any more (R11).
var errFraming = errors.New("the server broke the framing")

// receive deals with a frame of the server.
func (c *core) receive(frame *pb.ServerFrame, now time.Time) error {
	if frame.Sequence != c.stream.received+1 {
		return fmt.Errorf("%w: frame %d came after frame %d", errFraming, frame.Sequence, c.stream.received)
	}
	if c.stream.terms == nil {
		if len(frame.Items) == 0 || (frame.Items[0].GetWelcome() == nil && frame.Items[0].GetSessionEnd() == nil) {
			return fmt.Errorf("%w: the first item is no Welcome", errFraming)
		}
	}
	c.stream.received = frame.Sequence
	c.heardAt = now
	for _, item := range frame.Items {
		c.receiveItem(item, now)
	}
	return nil
}

func (c *core) receiveItem(item *pb.ServerItem, now time.Time) {
	switch told := item.Item.(type) {
	case *pb.ServerItem_Welcome:
		limits := termsOf(told.Welcome)
		c.sessionID, c.terms, c.stream.terms = told.Welcome.SessionId, &limits, &limits
		c.bucket.setRate(limits.logEntriesPerSecond, now)
	case *pb.ServerItem_Offer:
		c.onOffer(told.Offer, now)
	case *pb.ServerItem_ReportAcknowledgement:
		c.onAcknowledgement(told.ReportAcknowledgement)
	case *pb.ServerItem_Directive:
		c.onDirective(told.Directive, now)
	case *pb.ServerItem_HeldLeaseVerdict:
		c.onVerdict(told.HeldLeaseVerdict)
	case *pb.ServerItem_Error:
		c.onItemError(told.Error)
	case *pb.ServerItem_RecordAcknowledgement:
		c.onRecords(told.RecordAcknowledgement)
	case *pb.ServerItem_Drain:
		c.leaving = told.Drain
		if told.Drain.Deadline != nil {
			c.leavingUntil = now.Add(told.Drain.Deadline.AsDuration())
		}
	case *pb.ServerItem_SessionEnd:
		c.stream.end = told.SessionEnd
	}
	// What a newer server says and this SDK does not know is passed over (R7).
}

func (c *core) onOffer(offer *pb.JobOffer, now time.Time) {
	c.stream.creditsTold--
	if c.stream.acknowledgeAt.IsZero() {
		c.stream.acknowledgeAt = now.Add(acknowledgeWithin)
	}
	if c.jobs.get(offer.LeaseToken) != nil {
		return // It was only sent again (R34).
	}
	title := fmt.Sprintf("stage %q of run %s", offer.StageId, offer.RunId)
	if reason, message := c.refusal(offer); message != "" {
		job := c.jobs.add(offer.LeaseToken, title, false)
		c.keepReport(job, returnedReport(offer.LeaseToken, reason, message, false))
		return
	}
	c.jobs.add(offer.LeaseToken, title, true)
	c.host.startJob(offer)
}

func (c *core) refusal(offer *pb.JobOffer) (pb.ReturnReason, string) {
	switch {
	case c.drain != nil:
		return pb.ReturnReason_RETURN_REASON_DRAINING, "the worker ends"
	case offer.Kind != pb.JobKind_JOB_KIND_EXECUTE && offer.Kind != pb.JobKind_JOB_KIND_CHECK:
		return pb.ReturnReason_RETURN_REASON_UNKNOWN_JOB, fmt.Sprintf("this SDK does not know jobs of kind %d", offer.Kind)
	case !c.host.knows(offer):
		return pb.ReturnReason_RETURN_REASON_UNKNOWN_JOB, fmt.Sprintf(
			"this worker does not have stage %q of %s version %d", offer.StageId, offer.WorkflowName, offer.WorkflowVersion)
	case c.jobs.free() == 0:
		return pb.ReturnReason_RETURN_REASON_NO_FREE_SLOT, fmt.Sprintf("all %d slots are taken", c.jobs.slots)
	}
	return 0, ""
}

func (c *core) onAcknowledgement(told *pb.ReportAcknowledgement) {
	job := c.jobs.get(told.LeaseToken)
	if job == nil || job.report == nil {
		return
	}
	if told.Disposition == pb.ReportDisposition_REPORT_DISPOSITION_REFUSED {
		c.host.warn("the report of %s was refused: %s", job.title, told.GetError().GetMessage())
	}
	job.report = nil
	if !job.working || job.cutOff {
		c.jobs.forget(job)
	}
}

func (c *core) onDirective(told *pb.Directive, now time.Time) {
	if told.Action != pb.DirectiveAction_DIRECTIVE_ACTION_STOP {
		return
	}
	job := c.jobs.get(told.LeaseToken)
	if job == nil || !job.working {
		c.directiveDone(told.LeaseToken, true)
		return
	}
	within := stopWithin
	if told.Deadline != nil {
		within = told.Deadline.AsDuration()
	}
	isTold := job.stop != stopNone
	job.stop, job.cutOffAt, job.cutOff = stopDirective, now.Add(within), false
	if !isTold {
		reason := told.Message
		if reason == "" {
			reason = told.Reason.String()
		}
		c.host.stopJob(job.token, reason)
	}
}

func (c *core) onVerdict(told *pb.HeldLeaseVerdict) {
	job := c.jobs.get(told.LeaseToken)
	switch {
	case job == nil:
	case told.Verdict == pb.LeaseVerdict_LEASE_VERDICT_DROP:
		c.drop(job, "another delivery of the job counts, or the run has ended")
	case told.Verdict == pb.LeaseVerdict_LEASE_VERDICT_ALREADY_RECORDED:
		c.drop(job, "the job was reported before")
	default:
		job.awaitsVerdict = false
	}
}

func (c *core) onItemError(told *pb.ItemError) {
	job := c.jobs.get(told.LeaseToken)
	if told.GetError().GetReason() == pb.ErrorReason_ERROR_REASON_LEASE_SUPERSEDED {
		if job != nil && job.working && job.stop == stopNone {
			c.drop(job, "the lease is not live any more")
		}
		return
	}
	c.host.warn("the server refused an item: %s: %s", told.GetError().GetReason(), told.GetError().GetMessage())
	c.usage = withoutRefused(c.usage, told)
	if job != nil {
		job.annotations = withoutRefused(job.annotations, told)
	}
}

// withoutRefused leaves out the record that an ItemError names: it would be refused again (R93).
func withoutRefused(records []*keptRecord, told *pb.ItemError) []*keptRecord {
	for _, record := range records {
		if record.frame != 0 && record.frame == told.FrameSequence && record.index == int(told.ItemIndex) {
			return withoutRecords(records, map[string]bool{record.id: true})
		}
	}
	return records
}

func (c *core) onRecords(told *pb.RecordAcknowledgement) {
	ids := map[string]bool{}
	for _, id := range append(append([]string(nil), told.UsageIds...), told.AnnotationIds...) {
		ids[id] = true
	}
	c.usage = withoutRecords(c.usage, ids)
	for _, job := range c.jobs.order {
		job.annotations = withoutRecords(job.annotations, ids)
	}
}

// drop gives up a lease that is gone: stop the work, and owe nothing for it.
func (c *core) drop(job *heldJob, reason string) {
	if !job.working {
		c.jobs.forget(job)
		return
	}
	isTold := job.stop != stopNone
	job.report, job.stop, job.cutOffAt, job.awaitsVerdict = nil, stopDropped, time.Time{}, false
	if !isTold {
		c.host.stopJob(job.token, reason)
	}
}

func (c *core) directiveDone(token []byte, stopped bool) {
	if c.stream != nil { // The directive was of a stream: a new Hello says what is held.
		c.stream.done = append(c.stream.done, &pb.DirectiveDone{LeaseToken: token, Stopped: stopped})
	}
}

// finish says that local work on a job has ended; the report is nil when it was stopped before its end.
func (c *core) finish(token []byte, report *pb.Report) {
	job := c.jobs.get(token)
	if job == nil || !job.working {
		return
	}
	c.jobs.endWork(job)
	switch {
	case job.stop == stopDirective || job.stop == stopDropped:
		if job.stop == stopDirective && !job.cutOff {
			c.directiveDone(token, true)
		}
		c.jobs.forget(job)
	case job.cutOff:
		if job.report == nil {
			c.jobs.forget(job)
		}
	case report == nil:
		c.keepReport(job, returnedReport(token, pb.ReturnReason_RETURN_REASON_DRAINING, "it was stopped before its end", true))
	default:
		c.keepReport(job, report)
	}
}

// keepReport keeps a report until it is acknowledged; annotations that the server may not have ride in it.
func (c *core) keepReport(job *heldJob, report *pb.Report) {
	if c.terms != nil {
		report = fitted(report, *c.terms)
	}
	room := reportRecordsBytes
	for _, record := range job.annotations {
		entry := record.item.GetAnnotation().Annotation
		room -= proto.Size(entry)
		if room < 0 || len(report.Annotations) == reportRecordsMax {
			break
		}
		report.Annotations = append(report.Annotations, entry)
		record.inReport = true
	}
	job.report, job.reportSent, job.progress = report, false, nil
}

func (c *core) freeSlots() int {
	if c.drain != nil {
		return 0
	}
	return c.jobs.free()
}
