package stageline

import (
	"time"

	pb "stageline/sdk/gen/stageline/v1"
)

// What a job says to its session.
type (
	loggedMessage struct {
		token []byte
		entry *pb.LogEntry
	}
	progressMessage struct {
		token    []byte
		progress *pb.StageProgress
	}
	annotatedMessage struct {
		token []byte
		entry *pb.AnnotationEntry
	}
	usageMessage struct {
		token  []byte
		record *pb.UsageRecord
	}
	finishedMessage struct {
		token  []byte
		report *pb.Report
	}
)

// take deals with a message of a job.
func (c *core) take(message any, now time.Time) {
	switch told := message.(type) {
	case finishedMessage:
		c.finish(told.token, told.report)
	case usageMessage:
		item := &pb.UsageItem{LeaseToken: told.token, Record: told.record}
		c.usage = append(c.usage, &keptRecord{
			id: told.record.UsageId, item: &pb.WorkerItem{Item: &pb.WorkerItem_Usage{Usage: item}},
		})
	case loggedMessage:
		if job := c.jobs.get(told.token); job != nil && job.working {
			c.log(job, told.entry, now)
		}
	case progressMessage:
		if job := c.jobs.get(told.token); job != nil && job.working {
			job.progress = told.progress
		}
	case annotatedMessage:
		if job := c.jobs.get(told.token); job != nil && job.working {
			item := &pb.AnnotationItem{LeaseToken: told.token, Annotation: told.entry}
			job.annotations = append(job.annotations, &keptRecord{
				id: told.entry.AnnotationId, item: &pb.WorkerItem{Item: &pb.WorkerItem_Annotation{Annotation: item}},
			})
		}
	}
}

// log takes a line; those beyond the server's rate are dropped and counted (R90).
func (c *core) log(job *heldJob, entry *pb.LogEntry, now time.Time) {
	if c.terms == nil {
		return
	}
	if c.bucket.take(now) && len(job.logs) < bufferedEntriesMax {
		entry.Message = cut(entry.Message, c.terms.logMessageBytesMax)
		job.logs = append(job.logs, entry)
	} else {
		job.droppedLogs++
	}
	if c.stream != nil && c.stream.logsAt.IsZero() {
		c.stream.logsAt = now.Add(logsWithin)
	}
}

// logBucket fills at the server's rate of lines, and holds what one second gives.
type logBucket struct {
	perSecond int
	level     float64
	at        time.Time
}

func (b *logBucket) setRate(perSecond int, now time.Time) {
	if b.perSecond != perSecond {
		b.perSecond, b.level, b.at = perSecond, float64(perSecond), now
	}
}

func (b *logBucket) take(now time.Time) bool {
	b.level = min(float64(b.perSecond), b.level+now.Sub(b.at).Seconds()*float64(b.perSecond))
	b.at = now
	if b.level < 1 {
		return false
	}
	b.level--
	return true
}
