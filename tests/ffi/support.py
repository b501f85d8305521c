"""One segment and a few agents for all tests of a run; keys are each test's own."""
import os
import time
import unittest

import cachify
import client
from agent import SECONDS, Agent

SEGMENT = f'cachify-ffi-{os.getpid()}'
PATH = '/dev/shm/' + SEGMENT


def eventually(condition, seconds=SECONDS):
    """Whether condition() holds before so many seconds are over."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


class Case(unittest.TestCase):
    _agents = []

    @classmethod
    def begin(cls):
        cls.store = client.SyncClient(SEGMENT)  # makes the segment
        cls.instance = cachify.Instance(name=SEGMENT)  # with the prefix PYC-, as in C

    @classmethod
    def end(cls):
        for agent in Case._agents:
            agent.close()
        cachify.Instance.close_all()
        os.unlink(PATH)

    def setUp(self):
        self.key = self.id().rsplit('.', 1)[1]

    def agents(self, count):
        """Agents, each of them freshly initialised."""
        for agent in [a for a in Case._agents if a.process.poll() is not None]:
            agent.close()
            Case._agents.remove(agent)
        while len(Case._agents) < count:
            Case._agents.append(Agent(SEGMENT))
        for agent in Case._agents[:count]:
            agent.ask('cachify.Instance.close_all(); face.init_cachify();'
                      'c = cachify.Instance(name=segment)')
        return Case._agents[:count]
