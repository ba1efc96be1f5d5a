package stageline

import (
	"time"

	pb "stageline/sdk/gen/stageline/v1"
)

// stopCause says why local work is being stopped; it decides what the server is told when it has ended.
type stopCause int

const (
	stopNone stopCause = iota
	// The server said so, and waits for DirectiveDone (R70).
	stopDirective
	// The lease is gone, and the server knows: nothing is owed (R67).
	stopDropped
	// The server was not heard for the session's timeout: whatever comes of the work is still reported (R22).
	stopLeaseLost
	// The worker ends: the job is handed back (R81).
	stopDrain
)

// heldJob is what the worker knows of one job.
type heldJob struct {
	token   []byte
	title   string
	working bool
	stop    stopCause
	// When local work that is being stopped is given up on; zero for never.
	cutOffAt time.Time
	cutOff   bool
	// What is to be reported, until it is acknowledged, and whether it is on this stream.
	report        *pb.Report
	reportSent    bool
	awaitsVerdict bool
	annotations   []*keptRecord
	logs          []*pb.LogEntry
	droppedLogs   int32
	progress      *pb.StageProgress
	progressAt    time.Time
}

// isHeld tells whether the lease is still ours, as far as we know, and so is named at the next Hello (R64).
func (j *heldJob) isHeld() bool {
	return (j.stop != stopDirective && j.stop != stopDropped) || j.report != nil
}

// keptRecord is an item that is kept until the server has it.
type keptRecord struct {
	id   string
	item *pb.WorkerItem
	// The frame and place where it was sent on this stream; zero where it was not.
	frame uint64
	index int
	// It rides in a report, and is not sent by itself any more.
	inReport bool
}

func withoutRecords(records []*keptRecord, ids map[string]bool) []*keptRecord {
	kept := records[:0]
	for _, record := range records {
		if !ids[record.id] {
			kept = append(kept, record)
		}
	}
	return kept
}

// jobTable is all jobs of a worker, in the order of their offers.
type jobTable struct {
	slots   int
	working int
	order   []*heldJob
	byToken map[string]*heldJob
}

func newJobTable(slots int) *jobTable {
	return &jobTable{slots: slots, byToken: map[string]*heldJob{}}
}

func (t *jobTable) get(token []byte) *heldJob { return t.byToken[string(token)] }

func (t *jobTable) add(token []byte, title string, working bool) *heldJob {
	job := &heldJob{token: token, title: title, working: working}
	t.byToken[string(token)] = job
	t.order = append(t.order, job)
	if working {
		t.working++
	}
	return job
}

// endWork gives back the slot of a job whose local work has ended.
func (t *jobTable) endWork(job *heldJob) {
	if job.working {
		job.working = false
		t.working--
	}
}

// forget says that nothing is owed for a job any more.
func (t *jobTable) forget(job *heldJob) {
	if t.byToken[string(job.token)] != job {
		return
	}
	t.endWork(job)
	delete(t.byToken, string(job.token))
	for index, each := range t.order {
		if each == job {
			t.order = append(t.order[:index], t.order[index+1:]...)
			break
		}
	}
}

// all returns the jobs as they are now: they may be forgotten while one goes through them.
func (t *jobTable) all() []*heldJob { return append([]*heldJob(nil), t.order...) }

func (t *jobTable) free() int { return max(0, t.slots-t.working) }
