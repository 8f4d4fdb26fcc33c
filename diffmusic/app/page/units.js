// Times and frequencies, as text and as places on the screen.

/** `75.25` as `1:15.250`. */
export function clock(seconds, digits = 3) {
  const unit = 10 ** digits;
  const total = Math.round(Math.max(0, seconds) * unit);
  const whole = Math.floor(total / unit);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = n => String(n).padStart(2, "0");
  const rest = digits ? `.${String(total % unit).padStart(digits, "0")}` : "";
  return h ? `${h}:${two(m)}:${two(s)}${rest}` : `${m}:${two(s)}${rest}`;
}

/** Seconds of `12.5`, `1:02.5` or `1:00:02`; NaN for anything else. */
export function seconds(text) {
  const parts = text.trim().split(":");
  if (parts.length > 3 || parts.some(part => !/^\d+(\.\d*)?$|^\.\d+$/.test(part))) return NaN;
  return parts.reduce((total, part) => 60 * total + Number(part), 0);
}

/** A number without idle zeros, of so many digits behind the point. */
export function plain(value, digits = 4) {
  return String(Number(value.toFixed(digits)));
}

/** How long something takes, in words. */
export function lasting(s) {
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 90) return `${Math.round(s)} s`;
  return s < 5400 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`;
}

export const mel = hz => 2595 * Math.log10(1 + hz / 700);
export const hertz = mels => 700 * (10 ** (mels / 2595) - 1);

/** Steps of a ruler so that labels lie at least `room` pixels apart. */
export function tickStep(secondsPerPixel, room) {
  const least = secondsPerPixel * room;
  const steps = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600];
  return steps.find(step => step >= least) || 1800;
}
