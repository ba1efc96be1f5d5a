"""Models that follow a script without any wire: the quickest way to test a stage that calls models."""

import itertools
from collections.abc import AsyncIterator, Callable

from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ThinkingPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel
from pydantic_ai.usage import RequestUsage

from stageline_sdk.ai.models import PROVIDERS, AiModel
from stageline_sdk.ai.registry import ModelRegistry
from stageline_sdk.ai.testing.replies import Failure, Reply, Tokens, words
from stageline_sdk.ai.testing.schema_values import value_for


def scripted_models(*replies: Reply | Failure | str, tokens: Tokens | None = None) -> ModelRegistry:
    """Return a registry whose models answer from one script, one reply a request; after its end they make answers up.

        env = StageEnvironment(models=scripted_models("Paris.", Failure.rate_limited(), Reply(value={"name": "Rome"})))

    It has the default models with their real prices; the tokens of a stream are estimated from its texts. Nothing is sent anywhere, and no API key is needed. Of a reply, what
    concerns a connection (`is_held`, `is_lost` and the like) is passed over; batches and embeddings need a `FakeProvider`.

    Args:
        replies: The script. A text is a reply of that text.
        tokens: What each request takes where its reply does not say. Default: 10 tokens in and 5 out.
    """
    script = iter([Reply(text=each) if isinstance(each, str) else each for each in replies])
    made_up = itertools.repeat(Reply())
    following = itertools.chain(script, made_up)
    usual = tokens or Tokens(input=10, output=5)

    def resolve(model: AiModel) -> FunctionModel:
        return _scripted(model, lambda: next(following), usual)

    return ModelRegistry(resolvers=dict.fromkeys(PROVIDERS, resolve))


def _scripted(model: AiModel, following: Callable[[], Reply | Failure], usual: Tokens) -> FunctionModel:
    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        reply = following()
        if isinstance(reply, Failure):
            raise ModelHTTPError(reply.status, model.model_id, {"message": reply.message})
        return _response(reply, info, usual, model)

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str | DeltaToolCalls]:
        for part in respond(messages, info).parts:
            if isinstance(part, TextPart):
                for piece in words(part.content):
                    yield piece
            elif isinstance(part, ToolCallPart):
                yield {0: DeltaToolCall(name=part.tool_name, json_args=part.args_as_json_str())}

    return FunctionModel(respond, stream_function=stream, model_name=model.model_id)


def _response(reply: Reply, info: AgentInfo, usual: Tokens, model: AiModel) -> ModelResponse:
    parts: list[ThinkingPart | TextPart | ToolCallPart] = []
    if reply.reasoning:
        parts.append(ThinkingPart(reply.reasoning))
    if reply.tool_calls:
        parts += [ToolCallPart(each.name, dict(each.arguments)) for each in reply.tool_calls]
    elif info.output_tools:
        tool = info.output_tools[0]
        value = value_for(tool.parameters_json_schema) if reply.value is None else reply.value
        parts.append(ToolCallPart(tool.name, reply.text if reply.text is not None else value))
    else:
        parts.append(TextPart(reply.text if reply.text is not None else "A made-up answer"))
    took = reply.tokens or usual
    usage = RequestUsage(
        input_tokens=took.input,
        cache_read_tokens=took.cached,
        output_tokens=took.output,
        output_reasoning_tokens=took.reasoning,
    )
    return ModelResponse(parts, usage=usage, model_name=model.model_id, provider_name=model.provider)
