CREATE TABLE sandals (relic TEXT, caterer TEXT, names INTEGER, domain TEXT);
INSERT INTO sandals VALUES
('Vatin', 'Lezak', 250, 'Kodis'),
('Yosak', 'Lezum', 252, 'Repov'),
('Divak', 'Kemov', 54, 'Totic'),
('Sudis', 'Lezum', 124, 'Totic'),
('Fezov', 'Lezum', 680, 'Hiboff'),
('Mipum', 'Kemov', 136, 'Zepis'),
('Nomov', 'Lezum', 836, 'Kodis'),
('Tatski', 'Kemov', 876, 'Sisen'),
('Mevon', 'Pigov', 896, 'Repov'),
('Ramov', 'Pigov', 106, 'Zepis');

CREATE TABLE words (domain TEXT, gaps INTEGER, club TEXT);
INSERT INTO words VALUES
('Zepis', 910, 'Balen'),
('Totic', 150, 'Lapak'),
('Kodis', 982, 'Mofis'),
('Repov', 632, 'Lapak'),
('Sisen', 528, 'Mofis'),
('Hiboff', 154, 'Lapak');

CREATE TABLE brewers (lake TEXT, leaves INTEGER, harbor TEXT, walker TEXT);
INSERT INTO brewers VALUES
('Medon', 839, 'Getoff', 'Kofski'),
('Hodski', 252, 'Noder', 'Fakon'),
('Lagum', 368, 'Relski', 'Wogum'),
('Fedel', 142, 'Noder', 'Wuben'),
('Femum', 473, 'Gopon', 'Wogum'),
('Neloff', 304, 'Noder', 'Tukov'),
('Pegen', 720, 'Noder', 'Kofski'),
('Ludski', 520, 'Relski', 'Vumen'),
('Yepic', 501, 'Gopon', 'Wuben'),
('Jolen', 800, 'Relski', 'Tukov');

CREATE TABLE oaks (walker TEXT, type TEXT, girth INTEGER);
INSERT INTO oaks VALUES
('Kofski', 'Sumon', 31),
('Wogum', 'Tason', 905),
('Tukov', 'Tason', 837),
('Wuben', 'Lolis', 991),
('Vumen', 'Lolis', 374),
('Fakon', 'Lolis', 454);

CREATE TABLE reefs (agency TEXT, power INTEGER, path TEXT, rival TEXT);
INSERT INTO reefs VALUES
('Kabon', 296, 'Japon', 'Zobski'),
('Levov', 113, 'Musel', 'Fesski'),
('Miter', 977, 'Japon', 'Donon'),
('Zabon', 91, 'Tirak', 'Bumov'),
('Yunov', 716, 'Funski', 'Zobski'),
('Kemak', 16, 'Japon', 'Weber'),
('Dumer', 378, 'Musel', 'Fesski'),
('Nuven', 965, 'Musel', 'Weber'),
('Jepov', 996, 'Japon', 'Wuson'),
('Zoter', 454, 'Funski', 'Wuson');

CREATE TABLE booths (rival TEXT, threats INTEGER, pastor TEXT);
INSERT INTO booths VALUES
('Weber', 709, 'Bobin'),
('Wuson', 64, 'Bobin'),
('Fesski', 374, 'Filov'),
('Zobski', 999, 'Naten'),
('Donon', 898, 'Naten'),
('Bumov', 891, 'Bobin');

CREATE TABLE toys (solo TEXT, copies INTEGER, mentor TEXT, country TEXT);
INSERT INTO toys VALUES
('Ruvov', 696, 'Doris', 'Numoff'),
('Levin', 261, 'Doris', 'Kegon'),
('Lekak', 354, 'Tatum', 'Zuroff'),
('Vaker', 443, 'Doris', 'Jarer'),
('Gasen', 708, 'Doris', 'Toven'),
('Bagoff', 669, 'Jesov', 'Saris'),
('Lobov', 296, 'Tatum', 'Toven'),
('Teger', 247, 'Tatum', 'Numoff'),
('Sirin', 11, 'Dugel', 'Jarer'),
('Jarski', 422, 'Dugel', 'Zuroff');

CREATE TABLE soups (country TEXT, odds INTEGER, lady TEXT);
INSERT INTO soups VALUES
('Jarer', 278, 'Mizen'),
('Toven', 70, 'Tovak'),
('Numoff', 332, 'Kobin'),
('Zuroff', 802, 'Mizen'),
('Kegon', 257, 'Tovak'),
('Saris', 873, 'Tovak');

CREATE TABLE atlases (visitor TEXT, teacher TEXT, nets INTEGER, cover TEXT);
INSERT INTO atlases VALUES
('Juloff', 'Wivski', 993, 'Bidoff'),
('Wukic', 'Yusis', 231, 'Monic'),
('Ziris', 'Yusis', 669, 'Noloff'),
('Vazer', 'Rebak', 432, 'Noloff'),
('Walen', 'Rebak', 671, 'Yagis'),
('Deder', 'Yusis', 64, 'Bidoff'),
('Gegic', 'Rebak', 651, 'Miloff'),
('Hirel', 'Wivski', 873, 'Monic'),
('Dizis', 'Donin', 720, 'Kigov'),
('Zodic', 'Rebak', 469, 'Yagis');

CREATE TABLE animals (cover TEXT, lake TEXT, version INTEGER);
INSERT INTO animals VALUES
('Noloff', 'Peson', 417),
('Monic', 'Peson', 930),
('Bidoff', 'Kabski', 316),
('Yagis', 'Wudov', 826),
('Miloff', 'Kabski', 833),
('Kigov', 'Kabski', 937);

CREATE TABLE comics (icon TEXT, panels INTEGER, cell TEXT, label TEXT);
INSERT INTO comics VALUES
('Higski', 11, 'Diler', 'Widic'),
('Gavon', 388, 'Diler', 'Bigov'),
('Yogski', 828, 'Kalum', 'Widic'),
('Soper', 957, 'Warer', 'Kemov'),
('Wetin', 287, 'Diler', 'Kanin'),
('Selic', 208, 'Kalum', 'Kanin'),
('Higum', 439, 'Weder', 'Derum'),
('Tober', 699, 'Diler', 'Bigov'),
('Zegin', 689, 'Warer', 'Biver'),
('Doger', 755, 'Warer', 'Kemov');

CREATE TABLE pagers (label TEXT, solo TEXT, couples INTEGER);
INSERT INTO pagers VALUES
('Kemov', 'Rubin', 934),
('Kanin', 'Rubin', 227),
('Bigov', 'Vomov', 528),
('Widic', 'Vomov', 477),
('Biver', 'Bumon', 257),
('Derum', 'Vomov', 279);

CREATE TABLE marinas (pal TEXT, solo TEXT, drums INTEGER, orator TEXT);
INSERT INTO marinas VALUES
('Mafon', 'Ponoff', 893, 'Gefic'),
('Pekum', 'Vemum', 623, 'Yaber'),
('Zorak', 'Tumoff', 259, 'Sukin'),
('Niboff', 'Tumoff', 909, 'Lopoff'),
('Mubin', 'Tumoff', 191, 'Holov'),
('Vupis', 'Gagin', 545, 'Lopoff'),
('Gegum', 'Tumoff', 536, 'Gefic'),
('Gufen', 'Vemum', 266, 'Holov'),
('Jidis', 'Ponoff', 616, 'Biker'),
('Babum', 'Vemum', 960, 'Sukin');

CREATE TABLE wheats (orator TEXT, lives INTEGER, plot TEXT);
INSERT INTO wheats VALUES
('Gefic', 113, 'Zafoff'),
('Sukin', 588, 'Zafoff'),
('Lopoff', 852, 'Zafoff'),
('Holov', 23, 'Nenum'),
('Biker', 873, 'Daren'),
('Yaber', 971, 'Daren');

CREATE TABLE rovers (trend TEXT, voice TEXT, chests INTEGER, member TEXT);
INSERT INTO rovers VALUES
('Sodoff', 'Yemel', 526, 'Josski'),
('Barin', 'Buben', 753, 'Kevski'),
('Yoden', 'Buben', 673, 'Rager'),
('Pakum', 'Pirer', 77, 'Kevski'),
('Fupon', 'Piris', 570, 'Wezski'),
('Nonic', 'Yemel', 279, 'Rager'),
('Hopak', 'Buben', 435, 'Ragic'),
('Nufis', 'Yemel', 800, 'Fekak'),
('Kikak', 'Pirer', 304, 'Josski'),
('Milin', 'Yemel', 229, 'Fekak');

CREATE TABLE twins (member TEXT, extras INTEGER, bank TEXT);
INSERT INTO twins VALUES
('Josski', 252, 'Sagic'),
('Kevski', 743, 'Miken'),
('Fekak', 981, 'Yiten'),
('Rager', 895, 'Yiten'),
('Ragic', 716, 'Miken'),
('Wezski', 798, 'Miken');

CREATE TABLE dams (envoy TEXT, buyer TEXT, fouls INTEGER, proxy TEXT);
INSERT INTO dams VALUES
('Keloff', 'Yupon', 962, 'Ramski'),
('Bedel', 'Vumen', 896, 'Debic'),
('Dibak', 'Vumen', 364, 'Gegel'),
('Gupen', 'Zumon', 354, 'Govum'),
('Yulak', 'Vumen', 389, 'Gegel'),
('Fuken', 'Zumon', 384, 'Govum'),
('Womoff', 'Dizoff', 43, 'Botum'),
('Meler', 'Zumon', 602, 'Ramski'),
('Habski', 'Vumen', 862, 'Vezoff'),
('Mazski', 'Dizoff', 93, 'Debic');

CREATE TABLE bakers (proxy TEXT, foe TEXT, layers INTEGER);
INSERT INTO bakers VALUES
('Debic', 'Yenel', 889),
('Ramski', 'Povel', 737),
('Gegel', 'Povel', 893),
('Govum', 'Watel', 24),
('Vezoff', 'Yenel', 812),
('Botum', 'Povel', 657);

CREATE TABLE choirs (machine TEXT, coin TEXT, herds INTEGER, skin TEXT);
INSERT INTO choirs VALUES
('Defin', 'Povic', 384, 'Sapel'),
('Pefin', 'Mugski', 677, 'Firis'),
('Negen', 'Povic', 534, 'Jirum'),
('Delak', 'Vugon', 744, 'Firis'),
('Vuvel', 'Mafer', 734, 'Jirum'),
('Zuzen', 'Vugon', 481, 'Sapel'),
('Hosov', 'Povic', 81, 'Topis'),
('Piver', 'Mafer', 992, 'Gasoff'),
('Filov', 'Povic', 618, 'Topis'),
('Ragoff', 'Vugon', 386, 'Junski');

CREATE TABLE ducks (skin TEXT, truck TEXT, funds INTEGER);
INSERT INTO ducks VALUES
('Sapel', 'Tamak', 74),
('Topis', 'Nefon', 633),
('Firis', 'Nefon', 169),
('Jirum', 'Nefon', 123),
('Gasoff', 'Debum', 821),
('Junski', 'Debum', 179);

CREATE TABLE essays (sister TEXT, acts INTEGER, surname TEXT, cabin TEXT);
INSERT INTO essays VALUES
('Hegski', 552, 'Niber', 'Hizen'),
('Rulel', 602, 'Hopel', 'Migin'),
('Nolis', 824, 'Pogel', 'Lalak'),
('Tisak', 706, 'Dosen', 'Suner'),
('Pirak', 742, 'Dosen', 'Nogis'),
('Fadum', 814, 'Dosen', 'Sozin'),
('Sagum', 717, 'Niber', 'Hizen'),
('Lepak', 819, 'Hopel', 'Suner'),
('Zuris', 429, 'Dosen', 'Migin'),
('Jabon', 309, 'Hopel', 'Sozin');

CREATE TABLE tyres (cabin TEXT, resort TEXT, births INTEGER);
INSERT INTO tyres VALUES
('Hizen', 'Fadin', 132),
('Sozin', 'Sakis', 267),
('Migin', 'Zenak', 913),
('Suner', 'Zenak', 553),
('Nogis', 'Sakis', 897),
('Lalak', 'Zenak', 584);

CREATE TABLE dragons (home TEXT, scenes INTEGER, virtue TEXT, quarter TEXT);
INSERT INTO dragons VALUES
('Teler', 348, 'Yefin', 'Gonis'),
('Junis', 535, 'Yefin', 'Nekski'),
('Sovel', 479, 'Yefin', 'Gonis'),
('Tofen', 458, 'Tedis', 'Vizoff'),
('Gufis', 800, 'Rurel', 'Vinski'),
('Demic', 750, 'Wufin', 'Jazoff'),
('Kugov', 720, 'Wufin', 'Vizoff'),
('Pomon', 982, 'Tedis', 'Wefum'),
('Batic', 639, 'Yefin', 'Wefum'),
('Hulak', 477, 'Tedis', 'Jazoff');

CREATE TABLE groves (quarter TEXT, forks INTEGER, amulet TEXT);
INSERT INTO groves VALUES
('Vizoff', 575, 'Delski'),
('Jazoff', 800, 'Delski'),
('Gonis', 317, 'Lalen'),
('Wefum', 266, 'Pisski'),
('Nekski', 696, 'Delski'),
('Vinski', 290, 'Pisski');

CREATE TABLE roles (cleric TEXT, pal TEXT, boards INTEGER, city TEXT);
INSERT INTO roles VALUES
('Remon', 'Hafoff', 837, 'Wanic'),
('Yisic', 'Zivic', 677, 'Diver'),
('Masic', 'Lokum', 678, 'Boric'),
('Murski', 'Kamin', 526, 'Pegin'),
('Faden', 'Lokum', 756, 'Diver'),
('Jabin', 'Kamin', 252, 'Pavis'),
('Girak', 'Kamin', 387, 'Boric'),
('Yobic', 'Kamin', 777, 'Pavis'),
('Seker', 'Lokum', 425, 'Wanic'),
('Midic', 'Hafoff', 77, 'Wopis');

CREATE TABLE timbers (city TEXT, pads INTEGER, gang TEXT);
INSERT INTO timbers VALUES
('Wanic', 102, 'Hiben'),
('Boric', 680, 'Hiben'),
('Diver', 802, 'Hiben'),
('Pavis', 377, 'Barski'),
('Pegin', 77, 'Pubon'),
('Wopis', 366, 'Barski');

CREATE TABLE carpets (lady TEXT, teacher TEXT, stops INTEGER, rental TEXT);
INSERT INTO carpets VALUES
('Batov', 'Yuzoff', 837, 'Dibin'),
('Donski', 'Yuzoff', 872, 'Jeser'),
('Vosak', 'Yuzoff', 834, 'Sebis'),
('Yoden', 'Nogic', 348, 'Dibin'),
('Fikum', 'Nogic', 671, 'Lonak'),
('Bazen', 'Nogic', 700, 'Jeser'),
('Gipin', 'Hiroff', 946, 'Lonak'),
('Kofum', 'Hiroff', 625, 'Gorak'),
('Yuron', 'Dolen', 533, 'Fizer'),
('Visis', 'Yuzoff', 759, 'Gorak');

CREATE TABLE jars (rental TEXT, coast TEXT, speed INTEGER);
INSERT INTO jars VALUES
('Gorak', 'Mofer', 788),
('Dibin', 'Laron', 838),
('Lonak', 'Beson', 78),
('Jeser', 'Mofer', 435),
('Sebis', 'Mofer', 258),
('Fizer', 'Beson', 297);

CREATE TABLE geese (relic TEXT, spins INTEGER, cabin TEXT, desk TEXT);
INSERT INTO geese VALUES
('Vaker', 810, 'Niber', 'Jafak'),
('Pobak', 658, 'Huzon', 'Sibin'),
('Zomoff', 833, 'Vekel', 'Yetic'),
('Kerski', 773, 'Lekon', 'Getoff'),
('Wotin', 306, 'Huzon', 'Yetic'),
('Hetoff', 633, 'Huzon', 'Faker'),
('Himov', 158, 'Lekon', 'Getoff'),
('Wuric', 163, 'Niber', 'Faker'),
('Pafin', 269, 'Lekon', 'Ginov'),
('Yizov', 970, 'Huzon', 'Sibin');

CREATE TABLE breads (desk TEXT, kind TEXT, turns INTEGER);
INSERT INTO breads VALUES
('Faker', 'Nusel', 154),
('Getoff', 'Neris', 291),
('Sibin', 'Tiler', 541),
('Yetic', 'Tiler', 824),
('Jafak', 'Nusel', 227),
('Ginov', 'Nusel', 287);

CREATE TABLE meals (pupil TEXT, lemons INTEGER, station TEXT, tailor TEXT);
INSERT INTO meals VALUES
('Fapel', 24, 'Lutic', 'Binen'),
('Jadski', 603, 'Givoff', 'Jiser'),
('Giroff', 969, 'Givoff', 'Jiser'),
('Nefer', 123, 'Tuvis', 'Binen'),
('Fukic', 730, 'Lutic', 'Vasic'),
('Fasel', 170, 'Givoff', 'Jupin'),
('Vugak', 262, 'Jefic', 'Nipski'),
('Bedis', 620, 'Jefic', 'Ranic'),
('Regen', 186, 'Jefic', 'Vasic'),
('Gelin', 929, 'Givoff', 'Jupin');

CREATE TABLE diners (tailor TEXT, brother TEXT, drills INTEGER);
INSERT INTO diners VALUES
('Binen', 'Fonis', 89),
('Jupin', 'Fonis', 265),
('Vasic', 'Fonis', 777),
('Jiser', 'Berel', 536),
('Ranic', 'Kigen', 720),
('Nipski', 'Berel', 626);

CREATE TABLE robes (mammal TEXT, garden TEXT, growth INTEGER, sort TEXT);
INSERT INTO robes VALUES
('Rolic', 'Bizoff', 331, 'Mumen'),
('Huben', 'Yenel', 795, 'Kugin'),
('Pepen', 'Loter', 981, 'Bumer'),
('Latak', 'Bizoff', 849, 'Bofon'),
('Vinel', 'Ropel', 460, 'Bafum'),
('Semon', 'Yenel', 472, 'Kugin'),
('Pisel', 'Ropel', 327, 'Mumen'),
('Fimon', 'Bizoff', 530, 'Bumer'),
('Wukic', 'Bizoff', 73, 'Bafum'),
('Gazon', 'Yenel', 188, 'Nokoff');

CREATE TABLE posts (sort TEXT, spirit TEXT, taxes INTEGER);
INSERT INTO posts VALUES
('Mumen', 'Sopel', 434),
('Bumer', 'Sopel', 403),
('Kugin', 'Sopel', 81),
('Bafum', 'Teroff', 730),
('Bofon', 'Teroff', 787),
('Nokoff', 'Tiloff', 967);

CREATE TABLE arcs (scout TEXT, copies INTEGER, staff TEXT, prof TEXT);
INSERT INTO arcs VALUES
('Hugon', 501, 'Judel', 'Selis'),
('Litum', 765, 'Palel', 'Selis'),
('Yekoff', 520, 'Wizic', 'Vofum'),
('Hasis', 944, 'Palel', 'Yopic'),
('Pulski', 115, 'Wizic', 'Ligis'),
('Maler', 903, 'Judel', 'Tadel'),
('Vezov', 832, 'Wizic', 'Yopic'),
('Bokum', 809, 'Wodon', 'Soloff'),
('Nuden', 977, 'Wizic', 'Tadel'),
('Dinum', 945, 'Judel', 'Soloff');

CREATE TABLE angels (prof TEXT, extras INTEGER, rival TEXT);
INSERT INTO angels VALUES
('Soloff', 11, 'Jedic'),
('Tadel', 669, 'Daber'),
('Yopic', 700, 'Daber'),
('Selis', 388, 'Jedic'),
('Vofum', 372, 'Daber'),
('Ligis', 704, 'Paden');

CREATE TABLE offices (outlet TEXT, smiles INTEGER, terrain TEXT, story TEXT);
INSERT INTO offices VALUES
('Bezov', 47, 'Yoben', 'Hivov'),
('Daver', 758, 'Yoben', 'Hiner'),
('Funon', 672, 'Duzon', 'Digski'),
('Noder', 95, 'Dosski', 'Hivov'),
('Higski', 445, 'Fikski', 'Digski'),
('Togel', 93, 'Fikski', 'Zufak'),
('Nugen', 554, 'Dosski', 'Noner'),
('Mepin', 854, 'Yoben', 'Sider'),
('Pogin', 829, 'Dosski', 'Noner'),
('Biper', 453, 'Dosski', 'Sider');

CREATE TABLE stables (story TEXT, revenue INTEGER, grape TEXT);
INSERT INTO stables VALUES
('Hivov', 245, 'Nasov'),
('Noner', 453, 'Ganis'),
('Digski', 856, 'Vufin'),
('Sider', 200, 'Vufin'),
('Hiner', 647, 'Nasov'),
('Zufak', 169, 'Vufin');

CREATE TABLE crabs (buyer TEXT, revenue INTEGER, rubric TEXT, term TEXT);
INSERT INTO crabs VALUES
('Yupin', 282, 'Surel', 'Tilum'),
('Vepic', 122, 'Gaver', 'Patoff'),
('Perum', 226, 'Surel', 'Tukic'),
('Kekski', 170, 'Wizum', 'Mozic'),
('Kafer', 72, 'Wizum', 'Patoff'),
('Moren', 565, 'Wizum', 'Tinoff'),
('Puger', 785, 'Dopoff', 'Yapic'),
('Jenon', 218, 'Gaver', 'Tinoff'),
('Purak', 348, 'Surel', 'Tilum'),
('Hagak', 490, 'Surel', 'Tukic');

CREATE TABLE mayors (term TEXT, branch TEXT, hats INTEGER);
INSERT INTO mayors VALUES
('Tinoff', 'Getis', 856),
('Tilum', 'Getis', 902),
('Patoff', 'Gagis', 677),
('Tukic', 'Gagis', 307),
('Mozic', 'Hipel', 249),
('Yapic', 'Gagis', 897);
