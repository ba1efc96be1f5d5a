package stageline

import (
	"time"

	"google.golang.org/protobuf/proto"

	pb "stageline/sdk/gen/stageline/v1"
)

const (
	// How long the acknowledgement of an offer may wait for company: a quick job ends in the same frame.
	acknowledgeWithin = 20 * time.Millisecond
	// How long a log line may wait for others.
	logsWithin = 50 * time.Millisecond
	// A heartbeat is sent this share of the interval after the last frame, so that it arrives within it.
	heartbeatMargin = 0.8

	frameOverheadBytes  = 32
	itemOverheadBytes   = 8
	logBatchEntriesMax  = 1000
	bufferedEntriesMax  = 10_000
	reportRecordsMax    = 100
	reportRecordsBytes  = 256 << 10
	logEntryOverheadMax = 6
)

// framePacker collects the items of one frame (R14).
type framePacker struct {
	items     []*pb.WorkerItem
	itemsLeft int
	bytesLeft int
}

func newFramePacker(limits terms) *framePacker {
	return &framePacker{itemsLeft: limits.frameItemsMax, bytesLeft: limits.frameBytesMax - frameOverheadBytes}
}

// room is how large the next item may be.
func (p *framePacker) room() int {
	if p.itemsLeft <= 0 {
		return 0
	}
	return max(0, p.bytesLeft-itemOverheadBytes)
}

// add takes an item, if there is room; the first is always taken, as no other frame would have more.
func (p *framePacker) add(item *pb.WorkerItem) bool {
	size := proto.Size(item)
	if len(p.items) > 0 && size > p.room() {
		return false
	}
	p.items = append(p.items, item)
	p.itemsLeft--
	p.bytesLeft -= size + itemOverheadBytes
	return true
}

// stream is the worker's side of one stream: its numbers, and what goes into the next frame.
type stream struct {
	openedAt      time.Time
	terms         *terms
	end           *pb.SessionEnd
	received      uint64
	sent          uint64
	sentAt        time.Time
	acknowledgeAt time.Time
	logsAt        time.Time
	drainTold     bool
	// What the server believes to be free: what it was told last, less the offers that came since (R30).
	creditsTold int
	// Answers to directives that are not sent yet.
	done []*pb.DirectiveDone
}

func (s *stream) sealed(items []*pb.WorkerItem, now time.Time) *pb.WorkerFrame {
	s.sent++
	s.sentAt = now
	s.acknowledgeAt = time.Time{}
	return &pb.WorkerFrame{Sequence: s.sent, AcknowledgedSequence: s.received, Items: items}
}

func (s *stream) heartbeatAt() time.Time {
	return s.sentAt.Add(time.Duration(float64(s.terms.heartbeatInterval) * heartbeatMargin))
}

// nextFrame returns the next frame to send; nil while there is nothing to say.
func (c *core) nextFrame(now time.Time) *pb.WorkerFrame {
	s := c.stream
	if s == nil || s.terms == nil {
		return nil
	}
	packer := newFramePacker(*s.terms)
	c.packControl(packer, now)
	if c.packRecords(packer, c.usage) && c.packAnnotations(packer) && c.packReports(packer) {
		c.packProgress(packer, now)
		if isDue(s.logsAt, now) && c.packLogs(packer) {
			s.logsAt = time.Time{}
		}
	}
	if len(packer.items) == 0 && !isDue(s.acknowledgeAt, now) && !isDue(s.heartbeatAt(), now) {
		return nil
	}
	return s.sealed(packer.items, now)
}

// nextFrameAt returns when there is something to be said, as far as only time decides it.
func (c *core) nextFrameAt() time.Time {
	if c.stream == nil || c.stream.terms == nil {
		return time.Time{}
	}
	at := earliest(c.stream.heartbeatAt(), c.stream.acknowledgeAt, c.stream.logsAt)
	for _, job := range c.jobs.order {
		if job.progress != nil {
			at = earliest(at, job.progressAt)
		}
	}
	return at
}

func (c *core) packControl(packer *framePacker, now time.Time) {
	s := c.stream
	if c.drain != nil && !s.drainTold {
		s.drainTold = packer.add(&pb.WorkerItem{Item: &pb.WorkerItem_Drain{Drain: c.drain.message(now)}})
	}
	if free := c.freeSlots(); free != s.creditsTold {
		if packer.add(creditsItem(free)) {
			s.creditsTold = free
		}
	}
	for len(s.done) > 0 && packer.add(&pb.WorkerItem{Item: &pb.WorkerItem_DirectiveDone{DirectiveDone: s.done[0]}}) {
		s.done = s.done[1:]
	}
}

// packRecords adds records that are not on this stream yet; false when the frame is full before the last one.
func (c *core) packRecords(packer *framePacker, records []*keptRecord) bool {
	for _, record := range records {
		if record.frame != 0 || record.inReport {
			continue
		}
		if !packer.add(record.item) {
			return false
		}
		record.frame, record.index = c.stream.sent+1, len(packer.items)-1
	}
	return true
}

func (c *core) packAnnotations(packer *framePacker) bool {
	for _, job := range c.jobs.order {
		if job.isHeld() && !job.awaitsVerdict && !c.packRecords(packer, job.annotations) {
			return false
		}
	}
	return true
}

// packReports adds reports, each after what its job said: with the report its lease is over (R16).
func (c *core) packReports(packer *framePacker) bool {
	for _, job := range c.jobs.order {
		if job.report == nil || job.reportSent || job.awaitsVerdict {
			continue
		}
		if !c.packLogsOf(job, packer) || !packer.add(&pb.WorkerItem{Item: &pb.WorkerItem_Report{Report: job.report}}) {
			return false
		}
		job.reportSent = true
	}
	return true
}

func (c *core) packProgress(packer *framePacker, now time.Time) {
	for _, job := range c.jobs.order {
		if job.progress == nil || job.awaitsVerdict || job.progressAt.After(now) {
			continue
		}
		item := &pb.Progress{LeaseToken: job.token, Progress: job.progress}
		if !packer.add(&pb.WorkerItem{Item: &pb.WorkerItem_Progress{Progress: item}}) {
			return
		}
		job.progress, job.progressAt = nil, now.Add(c.stream.terms.progressInterval)
	}
}

func (c *core) packLogs(packer *framePacker) bool {
	for _, job := range c.jobs.order {
		if job.report == nil && !job.awaitsVerdict && !c.packLogsOf(job, packer) {
			return false
		}
	}
	return true
}

// packLogsOf adds a job's log lines; false when the frame is full before the last one (R90).
func (c *core) packLogsOf(job *heldJob, packer *framePacker) bool {
	for len(job.logs) > 0 || job.droppedLogs > 0 {
		batch := &pb.LogBatch{LeaseToken: job.token, DroppedCount: job.droppedLogs}
		room := packer.room() - proto.Size(batch) - itemOverheadBytes
		count := 0
		for count < len(job.logs) && count < logBatchEntriesMax {
			room -= proto.Size(job.logs[count]) + logEntryOverheadMax
			if room < 0 {
				break
			}
			count++
		}
		if count == 0 && len(job.logs) > 0 {
			if len(packer.items) > 0 {
				return false
			}
			job.logs = job.logs[1:] // Larger than a whole frame.
			job.droppedLogs++
			continue
		}
		batch.Entries = job.logs[:count]
		if !packer.add(&pb.WorkerItem{Item: &pb.WorkerItem_Logs{Logs: batch}}) {
			return false
		}
		job.logs, job.droppedLogs = job.logs[count:], 0
	}
	return true
}

func creditsItem(free int) *pb.WorkerItem {
	return &pb.WorkerItem{Item: &pb.WorkerItem_Credits{Credits: &pb.Credits{FreeSlots: int32(free)}}}
}

// isDue tells whether a time has come; a zero time never comes.
func isDue(at, now time.Time) bool { return !at.IsZero() && !at.After(now) }

// earliest returns the first of times, passing over zero ones.
func earliest(times ...time.Time) time.Time {
	var first time.Time
	for _, at := range times {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}
