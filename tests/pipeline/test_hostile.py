"""A worker that does not keep to the protocol: the IOC neither crashes, hangs nor leaks."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.pipeline.rig import alive, answered, descriptors, frame, probe, run
from tosip.errors import ProtocolError, WorkerError
from tosip.pipeline import protocol
from tosip.pipeline.jobs import AlgorithmFault, Program, WorkerDied
from tosip.pipeline.pool import Pool
from tosip.pipeline.process import WorkerProcess

# It stands where the interpreter does: `python bootstrap.py SOCKET PARENT NAME`.
PEER = """#!{python}
import array, json, os, random, socket, sys, time

sock = socket.socket(fileno=int(sys.argv[2]))

def send(data, *descriptors):
    socket.send_fds(sock, [data], list(descriptors))

def say(type_, descriptors=(), numbers=b"", **fields):
    data = json.dumps(dict(fields, type=type_)).encode()
    data = len(data).to_bytes(4, "little") + data
    send(data + bytes(-len(data) % 8) * bool(numbers) + numbers, *descriptors)

def field(name, kind, **more):
    return dict(dict(name=name, kind=kind, doc="d", details="", units="", precision=3, low=None,
        high=None, default=None, choices=[], severities=[], alarm=None, length=3, dtype="int16",
        bits=32), **more)

DESCRIPTION = dict(name="Evil", doc="d", details="", stateful=False,
    inputs=[field("count", "int", default=1)],
    outputs=[field("total", "float"), field("line", "array")], watch=[], keep_state=False)
LINE = dict(dtype="int16", count=1)
NO_LINE = dict(dtype="int16", count=0)
RESULT = dict(sequence=1, status="ok", message="", outputs=dict(total=1.0, line=LINE), params={{}},
    attributes={{}}, image=None, seconds=0.1, numbers=b"\\1\\0")

def hello():
    say("hello", version={version}, python="3", numpy="2")
    sock.recv(100_000)

def ready(description=DESCRIPTION):
    hello()
    say("ready", description=description, data={{}})
    sock.recv(100_000)

def answer(descriptors=(), **changes):
    ready()
    say("result", descriptors, **dict(RESULT, **changes))
    time.sleep(60)

def memory(size):
    made = os.memfd_create("evil", os.MFD_ALLOW_SEALING)
    os.ftruncate(made, size)
    return made

IMAGE = dict(number=1, shape=[10, 10], dtype="uint8")
sock.setblocking(True)
{body}
"""
AT_START = [
    "send(b'rubbish')",
    "send(os.urandom(5000))",
    "send(b'')",
    "sock.close(); time.sleep(60)",
    "sys.exit(0)",
    "say('hello', version=1, python='', numpy='')",
    "say('stopped')",
    "say('result', **RESULT)",
    "say('failed', sequence=7, stage='', error='', traceback='')",
    "send(b'{\"type\": \"stopped\"}', *[os.open('/dev/null', 0) for _ in range(100)])",
    "say('large', bytes=100)",
    "r, w = os.pipe(); say('large', [r], bytes=100); time.sleep(60)",
    "hello(); say('ready', description={}, data={})",
    "ready(dict(DESCRIPTION, inputs=[field('x', 'int', default=1, bits=10**9)]))",
    "ready(dict(DESCRIPTION, inputs=[field('x', 'float', default=10**400)]))",
    "ready(dict(DESCRIPTION, outputs=[field('x', 'array', dtype='O')]))",
    "ready(dict(DESCRIPTION, outputs=[field('status', 'int')]))",
    "ready(dict(DESCRIPTION, outputs=[field('a', 'int')] * 2))",
    "time.sleep(60)",
]
AT_FRAME = [
    "ready(); send(b'rubbish'); time.sleep(60)",
    "ready(); sys.exit(5)",
    "ready(); [send(os.urandom(random.randrange(1, 9000))) for _ in range(10**6)]",
    "ready(); time.sleep(60)",
    "ready(); say('code', name='x', file='x.py', package=False, text=5); time.sleep(60)",
    "ready(); say('saved', bytes=5); time.sleep(60)",
    "answer(sequence=2)",
    "answer(status='fine')",
    "answer(outputs=None)",
    "answer(outputs={})",
    "answer(outputs=dict(total=10**400, line=LINE))",
    "answer(outputs=dict(total='1', line=LINE))",
    "answer(outputs=dict(total=1.0, line=[[1], [1, 2]]))",
    "answer(outputs=dict(total=1.0, line=[10**30]))",
    "answer(outputs=dict(total=1.0, line=NO_LINE))",
    "answer(outputs=dict(total=1.0, line=dict(LINE, count=10**15)))",
    "answer(outputs=dict(total=1.0, line=dict(LINE, count=-1)))",
    "answer(outputs=dict(total=1.0, line=dict(LINE, dtype='object')))",
    "answer(outputs=dict(total=1.0, line=dict(LINE, dtype='float64')), numbers=b'12345678')",
    "answer(numbers=b'1' * 8)",
    "answer(attributes=dict(A=10**30))",
    "answer(outputs=dict(total=1.0, line=eval('[' * 80 + ']' * 80)))",
    "answer(params=dict(counts=1))",
    "answer(params=dict(count=10**400))",
    "answer(attributes=dict(A=None))",
    "answer(attributes=dict(A=[1]))",
    "answer(seconds=float('nan'))",
    "answer(seconds=float('inf'))",
    "answer(seconds=10**400)",
    "answer(seconds=-1)",
    "answer(image={})",
    "answer(image=IMAGE)",
    "answer([memory(10)], image=IMAGE)",
    "answer([memory(1 << 40)], image=IMAGE)",
    "answer([0], image=IMAGE)",
    "answer([os.open(__file__, os.O_RDWR)], image=IMAGE)",
    "answer([memory(100)], image=dict(IMAGE, shape=[10**9, 10**9], dtype='uint8'))",
    "answer([memory(100)], image=dict(IMAGE, shape='10'))",
    "answer([memory(100)] * 4, image=dict(IMAGE, dtype='object'))",
    "answer([memory(100)] * 9, image=IMAGE)",
    "answer([memory(100)], image=dict(IMAGE, number='1'))",
]


def evil(folder: Path, body: str) -> Program:
    file = folder / "peer"
    file.write_text(PEER.format(python=sys.executable, body=body, version=protocol.VERSION))
    file.chmod(0o755)
    return probe(folder, interpreter=file, start_timeout=1.0, stop_timeout=0.3)


async def faced(program: Program, pool: Pool) -> Exception:
    """Talk to a worker as a supervisor does and return what it came to; it must be dead then."""
    worker = WorkerProcess(program, pool, lambda: None)
    pids: list[int] = []
    try:
        await _talk(worker, pool, pids)
    except (WorkerError, ProtocolError) as error:
        fault = error.with_traceback(None)
    else:
        raise AssertionError("rubbish was taken for a result")
    assert len(str(fault)) < 1000
    assert not alive(pids[0])
    await worker.stop()
    worker.close()
    return fault


async def _talk(worker: WorkerProcess, pool: Pool, pids: list[int]) -> None:
    started = asyncio.create_task(worker.start())
    await asyncio.sleep(0)
    pids.append(worker.pid)
    await started
    await answered(worker, frame(pool), 0.5)


@pytest.mark.parametrize("bodies", [AT_START[::2], AT_START[1::2]], ids=["even", "odd"])
def test_worker_that_starts_with_rubbish_is_ended(tmp_path, bodies):
    async def work():
        pool = Pool()
        before = descriptors()
        for body in bodies:
            error = await faced(evil(tmp_path, body), pool)
            assert isinstance(error, (ProtocolError, WorkerDied, AlgorithmFault)), body
            assert descriptors() <= before, body

    run(work())


@pytest.mark.parametrize("bodies", [AT_FRAME[n::4] for n in range(4)], ids=str)
def test_worker_that_answers_rubbish_is_ended_and_the_frame_fails(tmp_path, bodies):
    async def work():
        pool = Pool()
        frame(pool)  # makes the buffer that all frames use
        before = descriptors()
        for body in bodies:
            assert isinstance(await faced(evil(tmp_path, body), pool), WorkerDied), body
            assert pool.figures().buffers == pool.figures().free_buffers == 1
            assert descriptors() <= before, body

    run(work())


def test_answers_sent_ahead_are_not_taken_for_those_of_later_frames(tmp_path):
    async def work():
        pool = Pool()
        body = "ready(); [say('result', **RESULT) for _ in range(10**6)]"
        worker = WorkerProcess(evil(tmp_path, body), pool, lambda: None)
        await worker.start()
        await answered(worker, frame(pool))
        with pytest.raises(WorkerDied, match=r"result: expected (none without a frame|number 2)"):
            await answered(worker, frame(pool))
        await worker.stop()
        worker.close()

    run(work())


def test_flood_does_not_delay_the_stop(tmp_path):
    async def work():
        pool = Pool()
        body = "ready(); [say('result', **RESULT) for _ in range(10**6)]"
        worker = WorkerProcess(evil(tmp_path, body), pool, lambda: None)
        await worker.start()
        pid = worker.pid
        async with asyncio.timeout(5):
            await worker.stop()
        assert not alive(pid)
        worker.close()

    run(work())


def test_last_words_of_a_worker_that_exits_at_once_are_heard(tmp_path):
    body = "hello(); say('failed', sequence=None, stage='import', error='E', traceback='T'); exit()"

    async def work():
        error = await faced(evil(tmp_path, body), Pool())
        assert isinstance(error, AlgorithmFault)
        assert (error.stage, error.traceback) == ("import", "T")

    run(work())


def test_honest_answers_of_this_peer_are_taken(tmp_path):
    # Or the tests above would show nothing.
    async def work():
        pool = Pool()
        body = "answer([memory(100)], image=IMAGE)"
        worker = WorkerProcess(evil(tmp_path, body), pool, lambda: None)
        await worker.start()
        answer = await answered(worker, frame(pool))
        assert answer.message["outputs"]["total"] == 1.0
        assert answer.message["outputs"]["line"].tolist() == [1]
        assert answer.image is not None
        assert answer.image.shape == (10, 10)
        await worker.stop()
        worker.close()

    run(work())
