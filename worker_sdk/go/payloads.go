package stageline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "stageline/sdk/gen/stageline/v1"
)

const (
	// transferRetryFor is how long a job waits for a server that is away, before its attempt fails.
	transferRetryFor = time.Minute
	// chunkBytes is how much of a value goes in one message.
	chunkBytes = 256 << 10
)

// payloadCalls moves values that are too large for a message through ArtifactService, by their hash (R102, R103). What
// breaks off is tried again from its beginning.
type payloadCalls struct {
	connection func() (*grpc.ClientConn, error)
	namespace  string
	// The job that the bytes are of; empty for a client.
	leaseToken []byte
}

// resolve puts what they refer to in the place of references.
func (p payloadCalls) resolve(ctx context.Context, payloads ...*pb.Payload) error {
	for _, payload := range payloads {
		reference := payload.GetReference()
		if reference == nil {
			continue
		}
		text, err := p.get(ctx, reference)
		if err != nil {
			return err
		}
		payload.Body = &pb.Payload_Json{Json: text}
	}
	return nil
}

// offload puts a reference in the place of a text that is too long for a message.
func (p payloadCalls) offload(ctx context.Context, payload *pb.Payload, bytesMax int) error {
	text := payload.GetJson()
	if len(text) <= bytesMax {
		return nil
	}
	reference, err := p.put(ctx, text)
	if err == nil {
		payload.Body = &pb.Payload_Reference{Reference: reference}
	}
	return err
}

func (p payloadCalls) put(ctx context.Context, text []byte) (*pb.PayloadReference, error) {
	digest := sha256.Sum256(text)
	header := &pb.PutArtifactHeader{
		Namespace: p.namespace, Target: &pb.PutArtifactHeader_Payload{Payload: &pb.PayloadTarget{}},
		SizeBytes: int64(len(text)), Sha256: digest[:], LeaseToken: p.leaseToken,
	}
	err := p.repeat(ctx, func(ctx context.Context, client pb.ArtifactServiceClient) error {
		stream, err := client.PutArtifact(ctx)
		if err != nil {
			return err
		}
		err = stream.Send(&pb.PutArtifactRequest{Part: &pb.PutArtifactRequest_Header{Header: header}})
		for start := 0; err == nil && start < len(text); start += chunkBytes {
			chunk := text[start:min(start+chunkBytes, len(text))]
			err = stream.Send(&pb.PutArtifactRequest{Part: &pb.PutArtifactRequest_Chunk{Chunk: chunk}})
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		_, err = stream.CloseAndRecv() // Also tells why the server ended the stream.
		return err
	})
	return &pb.PayloadReference{Sha256: digest[:], SizeBytes: int64(len(text))}, err
}

func (p payloadCalls) get(ctx context.Context, reference *pb.PayloadReference) ([]byte, error) {
	request := &pb.GetArtifactRequest{
		Namespace: p.namespace, Target: &pb.GetArtifactRequest_PayloadSha256{PayloadSha256: reference.Sha256},
		LeaseToken: p.leaseToken,
	}
	var text []byte
	err := p.repeat(ctx, func(ctx context.Context, client pb.ArtifactServiceClient) error {
		text = nil
		stream, err := client.GetArtifact(ctx, request)
		for err == nil {
			var part *pb.GetArtifactResponse
			if part, err = stream.Recv(); err == nil {
				text = append(text, part.GetChunk()...)
			}
		}
		if !errors.Is(err, io.EOF) {
			return err
		}
		if digest := sha256.Sum256(text); !bytes.Equal(digest[:], reference.Sha256) {
			return status.Error(codes.DataLoss, "the bytes that came are not those that were stored: their SHA-256 differs")
		}
		return nil
	})
	return text, err
}

func (p payloadCalls) repeat(
	ctx context.Context, attempt func(ctx context.Context, client pb.ArtifactServiceClient) error,
) error {
	return repeated(ctx, func() error {
		connection, err := p.connection()
		if err != nil {
			return err
		}
		call, cancel := context.WithCancel(ctx) // Ends a stream that was left before its end.
		defer cancel()
		return attempt(call, pb.NewArtifactServiceClient(connection))
	})
}

// repeated tries a call again while the server is away, for a minute.
func repeated(ctx context.Context, attempt func() error) error {
	giveUpAt := time.Now().Add(transferRetryFor)
	var tries backoff
	for {
		err := attempt()
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		code := status.Code(err)
		if (code != codes.Unavailable && code != codes.Canceled) || time.Now().After(giveUpAt) {
			return apiError(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(tries.next(0)):
		}
	}
}
