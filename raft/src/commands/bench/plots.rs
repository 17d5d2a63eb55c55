//! Curves as an SVG: throughput on the left, the 99th percentile on the right. Must never draw a line
//! for a server that has no points.

use std::error::Error;
use std::ops::Range;
use std::path::Path;

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::prelude::*;

const SIZE: (u32, u32) = (1_000, 420);
const FONT: (&str, u32) = ("sans-serif", 15);
const COLOURS: [RGBColor; 3] =
    [RGBColor(31, 90, 180), RGBColor(20, 140, 90), RGBColor(200, 60, 40)];

/// What one server did.
#[derive(Clone, Debug)]
pub struct Curve {
    /// The server.
    pub name: String,
    /// From left to right.
    pub points: Vec<Point>,
}

/// One load.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Clients, or requests in flight.
    pub x: f64,
    /// Operations a second.
    pub rate: f64,
    /// The 99th percentile, in milliseconds.
    pub p99_ms: f64,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws all curves into a file.
pub fn draw(path: &Path, axis: &str, curves: &[Curve]) -> anyhow::Result<()> {
    draw_both(path, axis, curves).map_err(|error| anyhow!("{}: {error}", path.display()))
}

fn draw_both(path: &Path, axis: &str, curves: &[Curve]) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(SIZE.0 / 2);
    let every = |figure: fn(&Point) -> f64| {
        curves.iter().flat_map(|curve| &curve.points).map(figure).collect::<Vec<f64>>()
    };
    let widest = 1.0..highest(&every(|point| point.x)).max(2.0);
    let rates = 0.0..highest(&every(|point| point.rate)) * 1.1;
    panel(&left, "SET, operations a second", axis, widest.clone(), rates, curves, |p| p.rate)?;
    let times = 0.0..highest(&every(|point| point.p99_ms)) * 1.1;
    panel(&right, "SET, p99 in ms", axis, widest, times, curves, |p| p.p99_ms)?;
    root.present()?;
    Ok(())
}

fn highest(numbers: &[f64]) -> f64 {
    numbers.iter().copied().fold(1e-3, f64::max)
}

fn panel(
    area: &Area<'_>,
    caption: &str,
    axis: &str,
    across: Range<f64>,
    up: Range<f64>,
    curves: &[Curve],
    figure: fn(&Point) -> f64,
) -> Result<(), Box<dyn Error>> {
    let mut chart = ChartBuilder::on(area)
        .caption(caption, FONT)
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d(across.log_scale().base(2.0), up)?;
    let number = |number: &f64| format!("{number}");
    chart.configure_mesh().x_desc(axis).x_label_formatter(&number).label_style(FONT).draw()?;
    let drawn = curves.iter().filter(|curve| !curve.points.is_empty());
    for (curve, colour) in drawn.zip(COLOURS) {
        let points = curve.points.iter().map(|point| (point.x, figure(point)));
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(&curve.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(FONT)
        .background_style(WHITE)
        .draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_with_points_is_in_the_picture() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.svg");
        let point = |x, rate| Point { x, rate, p99_ms: 2.5 };
        let curve = |name: &str, points| Curve { name: name.to_owned(), points };
        let curves = [
            curve("ours", vec![point(1.0, 500.0), point(1024.0, 90_000.0)]),
            curve("redis", vec![point(1.0, 1_000.0)]),
            curve("absent", vec![]),
        ];
        draw(&path, "clients", &curves).expect("drawn");
        let svg = std::fs::read_to_string(&path).expect("written");
        for text in ["<svg", "ours", "redis", "clients", "1024", "p99 in ms", "polyline"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(!svg.contains("absent"));
        draw(&path, "clients", &[]).expect("nothing is drawn, and nothing fails");
    }
}
