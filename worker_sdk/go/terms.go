package stageline

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "stageline/sdk/gen/stageline/v1"
)

// unlimited stands for a limit that the server does not know, and so does not enforce.
const unlimited = 1 << 62

// terms are the intervals and limits of a session, as Welcome told them (R6).
type terms struct {
	heartbeatInterval     time.Duration
	sessionTimeout        time.Duration
	progressInterval      time.Duration
	frameBytesMax         int
	frameItemsMax         int
	inlinePayloadBytesMax int
	payloadBytesMax       int
	logMessageBytesMax    int
	logEntriesPerSecond   int
}

func termsOf(welcome *pb.Welcome) terms {
	limits := welcome.GetLimits()
	return terms{
		heartbeatInterval:     intervalOf(welcome.HeartbeatInterval, 5*time.Second),
		sessionTimeout:        intervalOf(welcome.SessionTimeout, 15*time.Second),
		progressInterval:      intervalOf(welcome.ProgressInterval, time.Second),
		frameBytesMax:         limitOf(limits.GetFrameBytesMax(), 1<<20),
		frameItemsMax:         limitOf(int64(limits.GetFrameItemsMax()), 1000),
		inlinePayloadBytesMax: limitOf(limits.GetInlinePayloadBytesMax(), unlimited),
		payloadBytesMax:       limitOf(limits.GetPayloadBytesMax(), unlimited),
		logMessageBytesMax:    limitOf(limits.GetLogMessageBytesMax(), unlimited),
		logEntriesPerSecond:   limitOf(int64(limits.GetLogEntriesPerSecondMax()), unlimited),
	}
}

func intervalOf(told *durationpb.Duration, unset time.Duration) time.Duration {
	if value := told.AsDuration(); value > 0 {
		return value
	}
	return unset
}

func limitOf(told int64, unset int) int {
	if told > 0 {
		return int(told)
	}
	return unset
}
