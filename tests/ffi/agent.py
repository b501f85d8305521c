"""A second process: it runs what it is told, and answers.

    agent = Agent(segment)
    agent.ask('answer = face.lock("a").is_locked()')   # the value of answer
    agent.begin(...)                                    # the same, without waiting
    agent.answered(seconds)                             # whether the answer is there
    agent.end()                                         # the answer

Values go to and fro as Python literals.  Code may await at its top level.
"""
import ast
import asyncio
import inspect
import os
import select
import subprocess
import sys

SECONDS = 20  # no order takes so long


def run(source, names):
    """Run source with these names; an await is allowed outside any function."""
    code = compile(source, '<example>', 'exec', flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    waiting = eval(code, names)
    if inspect.iscoroutine(waiting):
        asyncio.run(waiting)


class AgentDied(Exception):
    pass


class AgentRaised(Exception):
    """args: the exception's class, its text."""


class Agent:
    def __init__(self, segment):
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, 'CACHIFY_FFI_SEGMENT': segment})
        self.pid = self.process.pid

    def begin(self, source):
        self.process.stdin.write(repr(source).encode() + b'\n')
        self.process.stdin.flush()

    def answered(self, seconds):
        return bool(select.select([self.process.stdout], [], [], seconds)[0])

    def end(self):
        if not self.answered(SECONDS):
            raise TimeoutError(f'agent {self.pid} has not answered for {SECONDS} s')
        line = self.process.stdout.readline()
        if not line:
            raise AgentDied(f'with status {self.process.wait(SECONDS)}')
        kind, *rest = ast.literal_eval(line.decode())
        if kind == 'raised':
            raise AgentRaised(*rest)
        return rest[0]

    def ask(self, source):
        self.begin(source)
        return self.end()

    def kill(self):
        self.process.kill()
        self.process.wait(SECONDS)

    def close(self):
        self.kill()
        self.process.stdin.close()
        self.process.stdout.close()


def main():
    import cachify
    import client
    import face
    sys.modules['py_cachify'] = face
    names = {'cachify': cachify, 'client': client, 'face': face, 'asyncio': asyncio, 'os': os,
             'segment': os.environ['CACHIFY_FFI_SEGMENT']}
    for line in sys.stdin:
        names['answer'] = None
        try:
            run(ast.literal_eval(line), names)
            said = ('answer', names['answer'])
        except Exception as raised:
            said = ('raised', type(raised).__name__, str(raised))
        print(repr(said), flush=True)


if __name__ == '__main__':
    main()
