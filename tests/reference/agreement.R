# Estimates of R's packages survey and mice from households.csv, written to agreement.json with the versions that made them.
#
#   cd tests/reference && Rscript agreement.R
#
# Debian: r-base-core r-cran-survey r-cran-mice r-cran-jsonlite.

library(survey)
library(mice)
options(warn = 1)

data <- read.csv("households.csv", stringsAsFactors = TRUE)
replicates <- function(name) as.matrix(data[grep(paste0("^", name, "_[0-9]+$"), names(data))])
design <- function(name, type, ...)
  svrepdesign(data = data, weights = ~weight, repweights = replicates(name), type = type,
              combined.weights = TRUE, mse = TRUE, ...)
designs <- list(
  brr = design("brr", "BRR"),
  fay = design("fay", "Fay", rho = 0.5),
  jk1 = design("jk1", "JK1"),
  jk2 = design("jk2", "JK2"),
  jkn = design("jkn", "JKn", scale = 1, rscales = rep(1 / 2, 16)),
  sdr = design("sdr", "successive-difference"),
  linearised = svydesign(ids = ~1, weights = ~weight, data = data)
)

rows <- list()
keep <- function(design, estimand, level, estimate, se)
  rows[[length(rows) + 1]] <<- list(design = design, estimand = estimand, level = level,
                                   estimate = as.numeric(estimate), standard_error = as.numeric(se))

for (name in names(designs)) {
  d <- designs[[name]]
  keep(name, "mean(use)", NA, coef(svymean(~use, d)), SE(svymean(~use, d)))
  keep(name, "sum(use)", NA, coef(svytotal(~use, d)), SE(svytotal(~use, d)))
  r <- svyratio(~use, ~rooms, d)
  keep(name, "ratio(use, rooms)", NA, coef(r), SE(r))
  shares <- svymean(~heat, d)
  counts <- svytotal(~heat, d)
  for (i in seq_along(levels(data$heat))) {
    keep(name, "proportion(heat)", levels(data$heat)[i], coef(shares)[i], sqrt(diag(vcov(shares)))[i])
    keep(name, "count(heat)", levels(data$heat)[i], coef(counts)[i], sqrt(diag(vcov(counts)))[i])
  }
  by <- svyby(~use, ~place, d, svymean)
  for (level in levels(data$place))
    keep(name, "mean(use) by place", level, by[level, "use"], by[level, "se"])
  linear <- summary(svyglm(use ~ rooms + income, d))$coefficients
  for (term in rownames(linear))
    keep(name, "linear(use ~ rooms + income)", term, linear[term, 1], linear[term, 2])
  logistic <- summary(svyglm(late ~ rooms + I(income / 10000), d, family = quasibinomial(),
                            epsilon = 1e-14))$coefficients
  for (term in rownames(logistic))
    keep(name, "logistic(late ~ rooms + income / 10000)", term, logistic[term, 1], logistic[term, 2])
  for (p in c(0.5, 0.9)) {
    text <- if (p == 0.5) "median(use)" else "quantile(use, 0.9)"
    q <- if (name == "linearised") svyquantile(~use, d, p, interval.type = "mean", qrule = "school")
         else svyquantile(~use, d, p, interval.type = "quantile", qrule = "school", return.replicates = FALSE)
    keep(name, text, NA, coef(q), SE(q))
  }
}

# Pooling: the mean of the fused variable in five implicates, with the variance by each design.
pooled <- list()
pool <- function(name, rule, n, k, q, u) {
  p <- pool.scalar(q, u, n = n, k = k, rule = rule)
  pooled[[length(pooled) + 1]] <<- list(
    design = name, rule = rule, complete_df = if (is.finite(n)) n - k else NA, estimates = q, variances = u,
    estimate = p$qbar, within = p$ubar, between = p$b, variance = p$t, df = p$df,
    missing_information = if (is.null(p$fmi)) NA else p$fmi)
}
for (name in c("fay", "sdr", "linearised")) {
  d <- designs[[name]]
  m <- lapply(1:5, function(i) svymean(as.formula(paste0("~fused_", i)), d))
  q <- sapply(m, coef, USE.NAMES = FALSE)
  u <- as.numeric(sapply(m, SE))^2
  complete <- if (name == "linearised") nrow(data) - 1 else ncol(replicates(name)) - 1
  pool(name, "rubin1987", Inf, 1, q, u)
  pool(name, "rubin1987", complete + 1, 1, q, u)
  pool(name, "reiter2003", Inf, 1, q, u)
}

about <- list(command = "cd tests/reference && Rscript agreement.R", R = R.version.string,
              survey = as.character(packageVersion("survey")), mice = as.character(packageVersion("mice")))
jsonlite::write_json(list(made_by = about, estimates = rows, pooled = pooled), "agreement.json",
                     digits = 12, auto_unbox = TRUE, na = "null", pretty = TRUE)
