"""The slow, obviously right server: one loop an iteration, every sum taken afresh.

Nothing here is clever. Each running sequence is an object that knows its own tokens; every
iteration asks all of them what they hold, decides, takes one step and hands out tokens one
by one. The fast engine must give the same times to a nanosecond.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SAME_INSTANT_S = 1e-9


@dataclass
class Sequence:
    index: int
    arrival_s: float
    prompt: int
    output: int
    key: tuple
    hashes: tuple = ()
    gifts: list = field(default_factory=list)  # uniform numbers for its verifications
    emitted: int = 0
    token_times_s: list = field(default_factory=list)
    start_s: float | None = None
    finish_s: float | None = None
    preemptions: int = 0
    computed: int = 0  # prompt (and lost) tokens computed so far
    to_compute: int = 0
    verifications: int = 0

    @property
    def decoding(self):
        return self.computed == self.to_compute

    @property
    def held(self):
        """Tokens for which it needs room in the next step."""
        return self.prompt + self.emitted if self.decoding else self.to_compute + 1


def tokens_given(speculation, sequence):
    """Tokens of its next verification: accepted drafts plus one, no more than wanted."""
    if speculation is None:
        return 1
    number = sequence.gifts[sequence.verifications]
    sequence.verifications += 1
    accepted = 0
    probability = 1.0
    for _ in range(speculation.gamma):
        probability *= speculation.alpha
        if number < probability:
            accepted += 1
    return min(accepted + 1, sequence.output - sequence.emitted)


class Reference:
    def __init__(self, requests, server, rng=None):
        self.server = server
        self.step = server.step_time
        self.block = server.block_tokens
        self.cache = []  # identities, the one to be thrown out first in front
        self.t = 0.0
        self.running = []
        self.waiting = []
        self.kv_peak = 0
        self.iterations = 0
        self.coming = []
        numbers = None
        if server.speculation is not None:
            numbers = rng.random(int((requests.output_tokens - 1).sum())).tolist()
        used = 0
        for i in range(len(requests)):
            prompt, output = int(requests.prompt_tokens[i]), int(requests.output_tokens[i])
            key = {
                "fcfs": (i,),
                "shortest": (prompt + output, i),
                "priority": (requests.priority[i] if requests.priority is not None else 0, i),
            }[server.order]
            sequence = Sequence(i, float(requests.arrival_s[i]), prompt, output, key)
            if numbers is not None:
                sequence.gifts = numbers[used : used + output - 1]
                used += output - 1
            if requests.block_hashes is not None:
                sequence.hashes = requests.block_hashes[i]
            self.coming.append(sequence)
        self.hash_block = requests.hash_block_tokens
        self.all = list(self.coming)

    # memory -------------------------------------------------------------------------

    def room_of(self, sequence, held=None):
        server = self.server
        if server.kv_policy == "paged":
            held = sequence.held if held is None else held
            return -(-held // self.block) * self.block
        if server.reserve_tokens is not None:
            return server.reserve_tokens
        return sequence.prompt + sequence.output

    def in_use(self):
        return sum(self.room_of(sequence) for sequence in self.running)

    def has_room(self, more=0):
        server = self.server
        if server.kv_tokens is None:
            return True
        room = server.kv_tokens
        if server.kv_policy == "paged":
            room = room // self.block * self.block
        if more and self.running:  # beside others the watermark stays free
            room -= int(server.watermark * (room // self.block)) * self.block
        return self.in_use() + more <= room

    # prefix cache -------------------------------------------------------------------

    def hit(self, sequence):
        if self.server.prefix_cache_tokens == 0:
            return 0
        blocks = 0
        for identity in sequence.hashes:
            if identity not in self.cache:
                break
            blocks += 1
        return min(blocks * self.hash_block, sequence.to_compute - 1)

    def keep(self, sequence):
        if self.server.prefix_cache_tokens == 0:
            return
        for identity in reversed(sequence.hashes):
            if identity in self.cache:
                self.cache.remove(identity)
            self.cache.append(identity)
        if self.server.prefix_cache_tokens is not None:
            limit = self.server.prefix_cache_tokens // self.hash_block
            while len(self.cache) > limit:
                self.cache.pop(0)

    # one iteration ------------------------------------------------------------------

    def decode_cost(self, decoding):
        """Arguments of the step's time, and the time of the drafts."""
        speculation = self.server.speculation
        context = sum(sequence.prompt + sequence.emitted for sequence in decoding)
        if speculation is None:
            return len(decoding), context, 0.0
        drafter = speculation.draft or self.step
        one = drafter.iteration_s(len(decoding), context, 0, 0) if decoding else 0.0
        ratio = 1.0 if speculation.cost_ratio is None else speculation.cost_ratio
        return len(decoding) * (speculation.gamma + 1), context, speculation.gamma * ratio * one

    def emit(self, sequence, count):
        for _ in range(count):
            sequence.emitted += 1
            sequence.token_times_s.append(self.t)
        if sequence.emitted == sequence.output:
            sequence.finish_s = self.t
            self.running.remove(sequence)

    def make_room(self):
        """Throw out who is last in the order until the next step fits."""
        thrown_out = False
        while any(s.decoding for s in self.running) and not self.has_room():
            victim = max(self.running, key=lambda sequence: sequence.key)
            self.running.remove(victim)
            victim.preemptions += 1
            self.waiting.append(victim)
            thrown_out = True
        return thrown_out

    def admit(self, budget):
        """Let in whoever fits; return pieces of prompts as (sequence, from, to)."""
        server = self.server
        chunked = server.batching == "chunked"
        pieces = []
        while self.waiting and len(self.running) < server.max_batch:
            head = min(self.waiting, key=lambda sequence: sequence.key)
            head.to_compute = head.prompt + head.emitted
            head.computed = 0
            need = self.room_of(head, head.to_compute + 1)
            if not self.has_room(need):
                break
            done = self.hit(head)
            piece = head.to_compute - done
            if budget is not None:
                if budget <= 0:
                    break
                if piece > budget:
                    if chunked:
                        piece = budget
                    elif pieces:
                        break
                budget -= piece
            self.waiting.remove(head)
            if head.start_s is None:
                head.start_s = self.t
            # Not decoding until the iteration is over, whatever piece it computes.
            head.computed = -1
            self.running.append(head)
            pieces.append((head, done, done + piece))
        return pieces

    def iterate(self):
        server = self.server
        self.iterations += 1
        chunked = server.batching == "chunked"
        width = 1 if server.speculation is None else server.speculation.gamma + 1
        if chunked:
            thrown_out = self.make_room()
            decoding = [sequence for sequence in self.running if sequence.decoding]
            budget = server.max_batched_tokens - width * len(decoding)
            pieces = []
            for sequence in self.running:
                if not sequence.decoding and budget > 0:
                    piece = min(budget, sequence.to_compute - sequence.computed)
                    pieces.append((sequence, sequence.computed, sequence.computed + piece))
                    budget -= piece
            if not thrown_out and budget > 0:
                pieces += self.admit(budget)
        else:
            pieces = []
            decoding = list(self.running)
            if not (server.batching == "static" and decoding):
                pieces = self.admit(server.max_batched_tokens)
            if pieces:
                decoding = []
            else:
                self.make_room()
                decoding = list(self.running)
        if server.kv_tokens is not None:
            self.kv_peak = max(self.kv_peak, self.in_use())
            assert self.kv_peak <= server.kv_tokens

        tokens, context, drafting = self.decode_cost(decoding)
        prefill = sum(end - begin for _, begin, end in pieces)
        pairs = sum((end**2 - begin**2) / 2 for _, begin, end in pieces)
        if server.rereads_prompt:
            context += sum(begin for _, begin, end in pieces if end > begin)
        self.t += self.step.iteration_s(tokens, context, prefill, pairs) + drafting

        for sequence in decoding:
            self.emit(sequence, tokens_given(server.speculation, sequence))
        for sequence, _, end in pieces:
            sequence.computed = end
            if end == sequence.to_compute:
                self.keep(sequence)
                self.emit(sequence, 1)

    def run(self):
        while self.coming or self.waiting or self.running:
            while self.coming and self.coming[0].arrival_s <= self.t + SAME_INSTANT_S:
                self.waiting.append(self.coming.pop(0))
            if not self.waiting and not self.running:
                self.t = max(self.t, self.coming[0].arrival_s)
            else:
                self.iterate()
        return self.all
