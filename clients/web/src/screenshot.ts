/** A picture of both views, side by side, as a file. */

import { save, timeStamp } from "./download";

/** `canvases` must have been drawn in this very task: a WebGL canvas forgets afterwards. Raises when there is no picture. */
export function takeScreenshot(canvases: HTMLCanvasElement[]): Promise<void> {
  const shown = canvases.filter((canvas) => canvas.width > 1 && canvas.height > 1);
  const height = Math.max(...shown.map((canvas) => canvas.height));
  const widths = shown.map((canvas) => Math.round((canvas.width * height) / canvas.height));
  const sheet = document.createElement("canvas");
  sheet.height = height;
  sheet.width = widths.reduce((sum, width) => sum + width, 0);
  const context = sheet.getContext("2d");
  if (context === null) throw new Error("this browser has no 2D canvas");
  let left = 0;
  shown.forEach((canvas, i) => {
    context.drawImage(canvas, left, 0, widths[i]!, height);
    left += widths[i]!;
  });
  return new Promise((resolve, reject) => {
    sheet.toBlob((blob) => {
      if (blob === null) return reject(new Error("the picture could not be written"));
      save(blob, `biopose ${timeStamp()}.png`);
      resolve();
    }, "image/png");
  });
}
