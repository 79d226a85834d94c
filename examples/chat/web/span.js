/**
 * Which messages of a room are on the page: a bounded range of their numbers, so that a room with
 * 10,000 messages is as smooth as one with ten. It follows the newest, or stays where one reads.
 */

/** Messages on the page at most, and how many come in sight at a time. */
export const MOST = 300;
export const STEP = 50;

export class Span {
  /** Begin at the newest of `last` messages. */
  constructor(last) { this.toNewest(last); }

  /** Show the newest, and those to come. */
  toNewest(last) {
    this.follows = true;
    this.high = last;
    this.low = Math.max(1, last - STEP + 1);
  }

  /** There are more: those come in sight if we follow; the oldest go. */
  grow(last) {
    if (!this.follows) return;
    this.high = last;
    this.low = Math.max(1, this.low, last - MOST + 1);
  }

  /** Show older ones; false if there are none. */
  older() {
    if (this.low <= 1) return false;
    this.low = Math.max(1, this.low - STEP);
    this.#keep("low");
    return true;
  }

  /** Show newer ones of `last`; false if there are none. */
  newer(last) {
    if (this.high >= last) return false;
    this.high = Math.min(last, this.high + STEP);
    this.#keep("high");
    return true;
  }

  /** Show this one and its neighbours. */
  around(number, last) {
    this.low = Math.max(1, number - STEP / 2);
    this.high = Math.min(last, number + STEP / 2);
    this.follows = false;
  }

  #keep(end) {
    if (this.high - this.low < MOST) return;
    if (end === "low") {
      this.high = this.low + MOST - 1;
      this.follows = false;
    } else {
      this.low = this.high - MOST + 1;
    }
  }
}
