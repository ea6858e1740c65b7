/**
 * The last seconds of one person's coordinates: ring buffers in typed arrays, so that nothing is allocated per frame.
 *
 * Times are seconds and must not go back: a sample that is not newer than the last one is left out.
 */

export class History {
  /** Samples kept now, oldest first through `index`. */
  length = 0;
  private next = 0;
  private readonly times: Float64Array;
  private readonly values: Float32Array;
  private readonly sigmas: Float32Array;

  /** `coordinates` values per sample; `capacity` samples. */
  constructor(readonly coordinates: number, readonly capacity: number) {
    this.times = new Float64Array(capacity);
    this.values = new Float32Array(capacity * coordinates);
    this.sigmas = new Float32Array(capacity * coordinates);
  }

  push(t: number, q: readonly number[], sigma: readonly number[]): void {
    if (this.length > 0 && !(t > this.times[this.index(this.length - 1)]!)) return;
    const row = this.next;
    this.times[row] = t;
    for (let c = 0; c < this.coordinates; c++) {
      this.values[row * this.coordinates + c] = q[c] ?? Number.NaN;
      this.sigmas[row * this.coordinates + c] = sigma[c] ?? Number.NaN;
    }
    this.next = (row + 1) % this.capacity;
    this.length = Math.min(this.length + 1, this.capacity);
  }

  private index(i: number): number {
    return (this.next - this.length + i + this.capacity) % this.capacity;
  }

  /** Time of sample `i`, 0 is the oldest. */
  time(i: number): number {
    return this.times[this.index(i)]!;
  }

  value(i: number, coordinate: number): number {
    return this.values[this.index(i) * this.coordinates + coordinate]!;
  }

  sigma(i: number, coordinate: number): number {
    return this.sigmas[this.index(i) * this.coordinates + coordinate]!;
  }

  /** -> the first sample at or after time `t` (`length` when there is none). */
  since(t: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.time(middle) < t) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** -> lowest and highest value since time `t`, or null when nothing finite is there. */
  extent(coordinate: number, t: number): [number, number] | null {
    let low = Infinity;
    let high = -Infinity;
    for (let i = this.since(t); i < this.length; i++) {
      const value = this.value(i, coordinate);
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return low <= high ? [low, high] : null;
  }
}
