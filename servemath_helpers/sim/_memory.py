"""Cache memory of a running server: blocks handed out as sequences grow, prefixes kept."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["BlockPool", "PrefixCache"]


class BlockPool:
    """Blocks of a paged cache, counted without looking at single sequences.

    While all sequences decode, each grows by one token a step, so a sequence of h tokens
    at step g has h - g tokens "at step 0" for as long as it runs. Only that number modulo
    the block size decides when it needs a block: p counters replace the sequences.
    """

    def __init__(self, capacity_tokens: int, block_tokens: int, watermark: float = 0.0) -> None:
        self.block = block_tokens
        self.blocks = capacity_tokens // block_tokens
        self.kept = int(watermark * self.blocks)  # blocks that stay free when somebody is let in
        self.room = self.blocks * block_tokens
        self.phase = [0] * block_tokens
        self.fixed = 0  # blocks of sequences whose prompt is still being computed

    def join(self, held: int, g: int) -> None:
        """Count a decoding sequence that holds `held` tokens at step g."""
        self.phase[(held - g) % self.block] += 1

    def leave(self, held: int, g: int) -> None:
        """Forget a decoding sequence that holds `held` tokens at step g."""
        self.phase[(held - g) % self.block] -= 1

    def blocks_for(self, held: int) -> int:
        """Return the blocks that hold so many tokens."""
        return -(-held // self.block)

    def used(self, g: int, held: int) -> int:
        """Return the blocks in use when the decoding sequences hold `held` tokens at step g."""
        block = self.block
        slack = sum(
            count * (-(residue + g) % block) for residue, count in enumerate(self.phase) if count
        )
        return self.fixed + (held + slack) // block

    def fits(self, need: int, g: int, held: int, sequences: int) -> bool:
        """Tell whether a sequence of `need` tokens can be let in."""
        # An empty server lets in whom it can hold, or a long prompt would wait for ever.
        kept = self.kept if sequences or self.fixed else 0
        # At most block - 1 tokens of each sequence's last block are empty.
        most = held + need + (sequences + 1) * (self.block - 1) + self.fixed * self.block
        if most <= self.room - kept * self.block:
            return True
        return self.used(g, held) + self.blocks_for(need) <= self.blocks - kept

    def possible_steps(self, g: int, held: int, sequences: int, most: int) -> int:
        """Return how many of the next `most` steps find enough blocks."""
        spare = self.room - self.fixed * self.block
        if held + sequences * (most - 1 + self.block - 1) <= spare:
            return most
        free = self.blocks - self.used(g, held)
        if free < 0:
            return 0
        # After the first step, each cycle of `block` steps takes one block a sequence.
        cycles = min(free // sequences, (most - 1) // self.block)
        free -= cycles * sequences
        steps = 1 + cycles * self.block
        while steps < most:
            # From one step to the next, those with a full last block need another.
            free -= self.phase[-(g + steps - 1) % self.block]
            if free < 0:
                break
            steps += 1
        return steps


class PrefixCache:
    """Blocks of finished prompts, the least recently finished thrown out first."""

    def __init__(
        self,
        hashes: list[tuple[int, ...]],
        block_tokens: int,
        tokens: int | None,
        answered: list[tuple[int, ...]] | None = None,
    ) -> None:
        self.hashes = hashes
        self.answered = answered  # blocks of prompt and answer, known when it is complete
        self.block = block_tokens
        self.limit = None if tokens is None else tokens // block_tokens
        self.kept: OrderedDict[int, None] = OrderedDict()

    def hit(self, i: int, size: int) -> int:
        """Return how many of the first `size` tokens of request i need not be computed."""
        blocks = 0
        for identity in self.hashes[i]:
            if identity not in self.kept:
                break
            blocks += 1
        # The last token is always computed: the next one comes from it.
        return min(blocks * self.block, size - 1)

    def keep(self, i: int, *, answered: bool = False) -> None:
        """Keep the blocks of request i, the beginning longest."""
        kept = self.kept
        hashes = self.answered if answered and self.answered else self.hashes
        for identity in reversed(hashes[i]):
            kept[identity] = None
            kept.move_to_end(identity)
        if self.limit is not None:
            while len(kept) > self.limit:
                kept.popitem(last=False)
