package stageline

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "stageline/sdk/gen/stageline/v1"
)

// CallType is a kind of AI call.
type CallType int32

// The kinds of AI calls.
const (
	CallText   = CallType(pb.CallType_CALL_TYPE_TEXT)
	CallObject = CallType(pb.CallType_CALL_TYPE_OBJECT)
	CallEmbed  = CallType(pb.CallType_CALL_TYPE_EMBED)
	CallStream = CallType(pb.CallType_CALL_TYPE_STREAM)
	CallBatch  = CallType(pb.CallType_CALL_TYPE_BATCH)
)

// Usage is one call of an AI model, for [Context.RecordUsage]. Pointers are nil where a number is unknown.
type Usage struct {
	// ID is a UUID; the first record of an id counts. Empty means a new one.
	ID string
	// Topic is what the call was for, as a dotted path such as "extract.summary". Required.
	Topic string
	// Type is the kind of call. Required.
	Type CallType
	// ModelKey is the name that the code asked for, ModelID the provider's of the model that answered.
	ModelKey, ModelID string
	// Provider is who answered, such as "anthropic".
	Provider string
	// InputTokens and OutputTokens count all; the others are parts of them.
	InputTokens, OutputTokens, CachedInputTokens, ReasoningTokens *int64
	// CostUSD is an exact decimal such as "0.00123"; empty where unknown.
	CostUSD string
	// Latency is from the request to the end of the answer; zero where unknown.
	Latency time.Duration
	// StartTime is when the request was sent; zero means now.
	StartTime time.Time
	// ErrorMessage says what went wrong, when the call failed.
	ErrorMessage string
}

func (u Usage) record() *pb.UsageRecord {
	record := &pb.UsageRecord{
		UsageId: u.ID, Topic: u.Topic, CallType: pb.CallType(u.Type),
		ModelKey: u.ModelKey, ModelId: u.ModelID, Provider: u.Provider,
		InputTokens: u.InputTokens, OutputTokens: u.OutputTokens,
		CachedInputTokens: u.CachedInputTokens, ReasoningTokens: u.ReasoningTokens,
		StartTime: timestamppb.Now(), ErrorMessage: cut(cleanText(u.ErrorMessage), 1024),
	}
	if record.UsageId == "" {
		record.UsageId = newUUID()
	}
	if u.CostUSD != "" {
		record.CostUsd, record.CostSource = &u.CostUSD, pb.CostSource_COST_SOURCE_CALLER
	}
	if u.Latency > 0 {
		record.Latency = durationpb.New(u.Latency)
	}
	if !u.StartTime.IsZero() {
		record.StartTime = timestamppb.New(u.StartTime)
	}
	return record
}
