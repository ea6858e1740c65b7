/** Scales of plots: round tick values, and a value axis that does not jump about. */

/** -> a step of 1, 2 or 5 times a power of ten that puts at most `most` steps into `span`. */
export function niceStep(span: number, most: number): number {
  const rough = span / Math.max(most, 1);
  if (!(rough > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  for (const factor of [1, 2, 5]) if (factor * power >= rough * (1 - 1e-9)) return factor * power;
  return 10 * power;
}

/** -> the multiples of `step` in [low, high]. */
export function ticks(low: number, high: number, step: number): number[] {
  const out: number[] = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) out.push(k * step + 0);
  return out;
}

/**
 * The value axis of one plot. It grows at once when a value leaves it, and shrinks only when the data fill less than a
 * third of it, so that a moving line is not mistaken for a moving axis.
 */
export class ValueAxis {
  low = 0;
  high = 0;

  /** `smallest`: the least span, in the data's unit. */
  constructor(private readonly smallest: number) {}

  /** Fits the axis to data in [low, high]; -> the step between its ticks. */
  fit(low: number, high: number): number {
    const span = this.high - this.low;
    const outside = low < this.low || high > this.high;
    const lost = span > this.smallest * 1.5 && high - low < span / 3;
    if (span === 0 || outside || lost) {
      const middle = (low + high) / 2;
      const half = Math.max((high - low) * 0.6, this.smallest / 2);
      const step = niceStep(2 * half, 5);
      this.low = Math.floor((middle - half) / step) * step;
      this.high = Math.ceil((middle + half) / step) * step;
    }
    return niceStep(this.high - this.low, 5);
  }
}
