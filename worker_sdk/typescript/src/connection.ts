/** How the SDK connects: address, credentials, and calls by the services' descriptions. */

import type { DescMethodBiDiStreaming, DescMethodClientStreaming, DescMethodServerStreaming, DescMethodUnary, DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";

import { apiError } from "./errors.js";

const ADDRESS_DEFAULT = "127.0.0.1:7460";
const RECEIVED_BYTES_MAX = 64 * 1024 * 1024;
const CALL_TIMEOUT_MS = 20_000;

/** Where a server is, and how to speak to it. */
export interface ConnectOptions {
  /** `host:port`, or `https://host:port` for TLS. Default: the environment's STAGELINE_ADDRESS, else 127.0.0.1:7460. */
  address?: string;
  /** Sent with each call (R8). Default: the environment's STAGELINE_TOKEN, else none. */
  token?: string;
  /** Certificates (PEM) of the authorities that an https server is checked with. Default: the system's. */
  rootCertificates?: Buffer;
}

/** A connection to one server; it is established by the first call. */
export class Connection {
  readonly address: string;
  readonly #options: ConnectOptions;
  readonly #client: grpc.Client;
  readonly #metadata = new grpc.Metadata();

  constructor(options: ConnectOptions) {
    this.#options = options;
    this.address = options.address ?? (process.env["STAGELINE_ADDRESS"] || ADDRESS_DEFAULT);
    const [, scheme = "http", target] = /^(?:(https?):\/\/)?([^/]+:\d+)\/?$/.exec(this.address) ?? [];
    if (target === undefined) {
      throw new TypeError(`address ${this.address}: use host:port, http://host:port or https://host:port`);
    }
    const token = options.token ?? process.env["STAGELINE_TOKEN"] ?? "";
    if (token !== "") {
      this.#metadata.set("authorization", `Bearer ${token}`);
    }
    const isSecure = scheme === "https";
    const credentials = isSecure
      ? grpc.credentials.createSsl(options.rootCertificates ?? null)
      : grpc.credentials.createInsecure();
    this.#client = new grpc.Client(target, credentials, {
      "grpc.max_receive_message_length": RECEIVED_BYTES_MAX,
      // A dead peer is found in 40 s, also behind a proxy that keeps the connection open.
      "grpc.keepalive_time_ms": 30_000,
      "grpc.keepalive_timeout_ms": 10_000,
      // The session has a backoff of its own; gRPC's must not hold it up.
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 1_000,
      // Several workers of one process have a connection each.
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  /** Returns a connection to another server, as one that drains names it (R83). */
  movedTo(address: string): Connection {
    const isSecure = this.address.startsWith("https://") && !address.includes("://");
    return new Connection({ ...this.#options, address: isSecure ? `https://${address}` : address });
  }

  close(): void {
    this.#client.close();
  }

  /**
   * Calls a method that has one answer.
   *
   * @throws ApiError The server refused, or cannot be reached.
   */
  unary<In extends DescMessage, Out extends DescMessage>(
    method: DescMethodUnary<In, Out>,
    request: MessageInitShape<In>,
    signal?: AbortSignal,
  ): Promise<MessageShape<Out>> {
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        pathOf(method),
        (message: MessageShape<In>) => Buffer.from(toBinary(method.input, message)),
        (bytes: Buffer) => fromBinary(method.output, bytes),
        create(method.input, request) as MessageShape<In>,
        this.#metadata,
        { deadline: Date.now() + CALL_TIMEOUT_MS },
        (error, response) => {
          if (error !== null || response === undefined) {
            reject(error === null ? new Error("no answer") : apiError(error));
          } else {
            resolve(response);
          }
        },
      );
      signal?.addEventListener("abort", () => call.cancel(), { once: true });
    });
  }

  /**
   * Calls a method that takes many messages and has one answer.
   *
   * @throws ApiError The server refused, or cannot be reached.
   */
  clientStream<In extends DescMessage, Out extends DescMessage>(
    method: DescMethodClientStreaming<In, Out>,
    messages: Iterator<MessageInitShape<In>>,
    signal?: AbortSignal,
  ): Promise<MessageShape<Out>> {
    return new Promise((resolve, reject) => {
      let isOver = false;
      const call = this.#client.makeClientStreamRequest(
        pathOf(method),
        (message: MessageShape<In>) => Buffer.from(toBinary(method.input, message)),
        (bytes: Buffer) => fromBinary(method.output, bytes),
        this.#metadata,
        (error, response) => {
          isOver = true;
          if (error !== null || response === undefined) {
            reject(error === null ? new Error("no answer") : apiError(error));
          } else {
            resolve(response);
          }
        },
      );
      call.on("error", () => {}); // The answer tells the same.
      signal?.addEventListener("abort", () => call.cancel(), { once: true });
      const write = (): void => {
        while (!isOver) {
          const next = messages.next();
          if (next.done === true) {
            call.end();
            return;
          }
          if (!call.write(create(method.input, next.value) as MessageShape<In>)) {
            call.once("drain", write);
            return;
          }
        }
      };
      write();
    });
  }

  /** Opens a stream in both directions. */
  bidirectional<In extends DescMessage, Out extends DescMessage>(
    method: DescMethodBiDiStreaming<In, Out>,
  ): grpc.ClientDuplexStream<MessageShape<In>, MessageShape<Out>> {
    return this.#client.makeBidiStreamRequest(
      pathOf(method),
      (message: MessageShape<In>) => Buffer.from(toBinary(method.input, message)),
      (bytes: Buffer) => fromBinary(method.output, bytes),
      this.#metadata,
    );
  }

  /**
   * Yields the answers of a method that has many.
   *
   * @throws ApiError The stream ended with an error.
   */
  async *serverStream<In extends DescMessage, Out extends DescMessage>(
    method: DescMethodServerStreaming<In, Out>,
    request: MessageInitShape<In>,
    signal?: AbortSignal,
  ): AsyncGenerator<MessageShape<Out>> {
    const call = this.#client.makeServerStreamRequest(
      pathOf(method),
      (message: MessageShape<In>) => Buffer.from(toBinary(method.input, message)),
      (bytes: Buffer) => fromBinary(method.output, bytes),
      create(method.input, request) as MessageShape<In>,
      this.#metadata,
    );
    signal?.addEventListener("abort", () => call.cancel(), { once: true });
    try {
      for await (const message of call) {
        yield message as MessageShape<Out>;
      }
    } catch (error) {
      throw apiError(error as grpc.ServiceError);
    } finally {
      call.cancel();
    }
  }
}

function pathOf(method: { parent: { typeName: string }; name: string }): string {
  return `/${method.parent.typeName}/${method.name}`;
}
