package stageline

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

const (
	addressDefault   = "127.0.0.1:7460"
	receivedBytesMax = 64 << 20
)

// ConnectOptions say where a server is and how to speak to it.
type ConnectOptions struct {
	// Address is host:port, or https://host:port for TLS. Empty means the environment's STAGELINE_ADDRESS, else
	// 127.0.0.1:7460.
	Address string
	// Token is sent with each call. Empty means the environment's STAGELINE_TOKEN, else none.
	Token string
	// TLS is used for https addresses; nil means the system's roots.
	TLS *tls.Config
}

func (o ConnectOptions) withDefaults() ConnectOptions {
	if o.Address == "" {
		o.Address = os.Getenv("STAGELINE_ADDRESS")
	}
	if o.Address == "" {
		o.Address = addressDefault
	}
	if o.Token == "" {
		o.Token = os.Getenv("STAGELINE_TOKEN")
	}
	return o
}

// dial makes a connection; it is established by the first call.
func (o ConnectOptions) dial() (*grpc.ClientConn, error) {
	scheme, target, found := strings.Cut(o.Address, "://")
	if !found {
		scheme, target = "http", o.Address
	}
	if _, _, err := net.SplitHostPort(target); err != nil || (scheme != "http" && scheme != "https") {
		return nil, fmt.Errorf("address %q: use host:port, http://host:port or https://host:port", o.Address)
	}
	secured := insecure.NewCredentials()
	if scheme == "https" {
		secured = credentials.NewTLS(o.TLS)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(secured),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(receivedBytesMax)),
		// A dead peer is found in 40 s, also behind a proxy that keeps the connection open.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		// The session has a backoff of its own; gRPC's must not hold it up.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           grpcbackoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.5, MaxDelay: time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	}
	if o.Token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer{o.Token, scheme == "https"}))
	}
	return grpc.NewClient("passthrough:///"+target, options...)
}

// movedTo returns the same for the address that a draining server named.
func (o ConnectOptions) movedTo(address string) ConnectOptions {
	if !strings.Contains(address, "://") && strings.HasPrefix(o.Address, "https://") {
		address = "https://" + address
	}
	o.Address = address
	return o
}

// bearer sends a token with each call (R8).
type bearer struct {
	token  string
	secure bool
}

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b.token}, nil
}

func (b bearer) RequireTransportSecurity() bool { return b.secure }
